/** The tokenizer files that a result folder needs, with the pad token in them. */
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
  "chat_template.jinja",
];

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

/**
 * Sets the member `pad_token` in the file's text: parsed and written again, numbers such as
 * model_max_length 1000000000000000019884624838656 would not come back as they were.
 */
function withConfiguredPad(name: string, bytes: Uint8Array, padToken: string): Uint8Array {
  const text = Buffer.from(bytes).toString("utf8");
  const member = `"pad_token": ${JSON.stringify(padToken)}`;
  const present = /"pad_token"\s*:\s*null/;
  if (present.test(text)) return Buffer.from(text.replace(present, () => member));
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
