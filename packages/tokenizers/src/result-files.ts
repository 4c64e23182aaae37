/** The tokenizer files that a result folder needs, with the pad token in them. */
import { CHAT_TEMPLATE_FILE, TOOL_TEMPLATE_FILE } from "./chat-template.js";
import type { AddedToken } from "./definition.js";
import { type JsonObject, parseObject } from "./json.js";

/** What is copied from the model folder where it exists. */
export const TOKENIZER_FILES = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  CHAT_TEMPLATE_FILE,
];

/** Without folders: a template for tools goes into tokenizer_config.json, together with the default one. */
export function withNamedTemplates(files: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, Uint8Array> {
  const [plain, tools] = [files.get(CHAT_TEMPLATE_FILE), files.get(TOOL_TEMPLATE_FILE)];
  if (!tools) return files;
  const changed = new Map(files);
  changed.delete(TOOL_TEMPLATE_FILE);
  const config = files.get("tokenizer_config.json") ?? Buffer.from("{}");
  if (!plain || "chat_template" in parseObject("tokenizer_config.json", config)) return changed;
  changed.delete(CHAT_TEMPLATE_FILE);
  const named = (name: string, template: Uint8Array) => ({ name, template: Buffer.from(template).toString("utf8") });
  const value = [named("default", plain), named("tool_use", tools)];
  return changed.set("tokenizer_config.json", withMember("tokenizer_config.json", config, "chat_template", value));
}

/**
 * Writes the chosen pad token into the files: its name into the configuration, and when it is new, itself and
 * what the configuration added before it into tokenizer.json's added_tokens, so that transformers loads it at its id.
 */
export function withPadToken(
  files: ReadonlyMap<string, Uint8Array>,
  pad: { token: string; added: readonly AddedToken[] },
): Map<string, Uint8Array> {
  const changed = new Map(files);
  const config = files.get("tokenizer_config.json") ?? Buffer.from("{}");
  changed.set("tokenizer_config.json", withConfiguredPad("tokenizer_config.json", config, pad.token));
  const map = files.get("special_tokens_map.json");
  if (map) changed.set("special_tokens_map.json", withConfiguredPad("special_tokens_map.json", map, pad.token));
  const tokenizer = files.get("tokenizer.json");
  if (tokenizer && pad.added.length > 0) changed.set("tokenizer.json", withAddedTokens(tokenizer, pad.added));
  return changed;
}

function withConfiguredPad(name: string, bytes: Uint8Array, padToken: string): Uint8Array {
  const text = Buffer.from(bytes).toString("utf8");
  const present = /"pad_token"\s*:\s*null/;
  if (!present.test(text)) return withMember(name, bytes, "pad_token", padToken);
  return Buffer.from(text.replace(present, () => `"pad_token": ${JSON.stringify(padToken)}`));
}

/**
 * Adds a member in the file's text: parsed and written again, numbers such as model_max_length
 * 1000000000000000019884624838656 would not come back as they were.
 */
function withMember(name: string, bytes: Uint8Array, key: string, value: unknown): Uint8Array {
  const text = Buffer.from(bytes).toString("utf8");
  const member = `${JSON.stringify(key)}: ${JSON.stringify(value)}`;
  const isEmpty = Object.keys(parseObject(name, bytes)).length === 0;
  return Buffer.from(text.replace("{", () => (isEmpty ? `{${member}` : `{\n  ${member},`)));
}

function withAddedTokens(bytes: Uint8Array, newTokens: readonly AddedToken[]): Uint8Array {
  const root: JsonObject = parseObject("tokenizer.json", bytes);
  const tokens = Array.isArray(root["added_tokens"]) ? (root["added_tokens"] as unknown[]) : [];
  const added = newTokens
    .toSorted((a, b) => a.id - b.id)
    .map(({ id, content, singleWord, ...flags }) => ({ id, content, single_word: singleWord, ...flags }));
  return Buffer.from(JSON.stringify({ ...root, added_tokens: [...tokens, ...added] }, null, 2));
}
