import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { type ChatTemplateSource, readChatTemplate, TOOL_TEMPLATE_FILE } from "./chat-template.js";
import { addConfiguredTokens, effectiveSettings } from "./configured-tokens.js";
import type { AddedVocabulary, Definition } from "./definition.js";
import { parseObject, readIfPresent } from "./json.js";
import { TOKENIZER_FILES, withNamedTemplates, withPadToken } from "./result-files.js";
import { choosePad, configuredToken, findEos, type FolderConfig } from "./special-tokens.js";
import { classNotes, tokenizerClass } from "./tokenizer-class.js";
import { HfTokenizer, type TokenizerInfo, type TruncationSide } from "./tokenizer.js";
import { readTokenizerJson, TOKENIZER_JSON } from "./tokenizer-json.js";
import { MERGES_TXT, readVocabAndMerges, VOCAB_JSON } from "./vocab-and-merges.js";

/** The files of a model folder that decide its tokenizer. */
export const SOURCE_FILES: readonly string[] = [...TOKENIZER_FILES, TOOL_TEMPLATE_FILE, "config.json"];

/**
 * Loads the tokenizer of a model folder: tokenizer.json, or vocab.json and merges.txt. `padToken` names
 * the token that pads rows where the tokenizer has none of its own; empty: "<|pad|>" is added.
 * Errors: `not_found` for a missing folder or files, `data_loss` for damaged ones,
 * `failed_precondition` for a tokenizer of another kind or without an eos token, `invalid_argument`
 * for a `padToken` that is not one of its tokens.
 */
export async function loadTokenizer(dir: string, padToken: string): Promise<HfTokenizer> {
  const files = new Map<string, Uint8Array>();
  for (const name of SOURCE_FILES) {
    const bytes = await readIfPresent(resolve(dir), name);
    if (bytes) files.set(name, bytes);
  }
  const config = readConfig(files);
  const { definition: read, added, file } = readDefinition(dir, files, config);
  const notes =
    file === TOKENIZER_JSON ? classNotes(config.tokenizerClass, config, { ...read, addedTokens: added.tokens }) : [];
  const own = new Set([...read.vocab.keys(), ...added.tokens.map(({ content }) => content)]);
  addConfiguredTokens(files, config, added);
  const base = asConfigured(read, file, config, added);
  const eos = findEos(config, added, base.vocab);
  const chosen = choosePad(config, added, base.vocab, padToken);
  const pad = { ...chosen, isNew: !own.has(chosen.token) };
  const definition: Definition = { ...base, addedTokens: added.tokens };
  const chatTemplate = readChatTemplate(files, config);
  const truncationSide = truncationSideOf(files, config);
  const info: TokenizerInfo = {
    hash: hashOf(definition, eos.id, pad.id, chatTemplate, truncationSide),
    vocabSize: 1 + largestId(definition),
    eosId: eos.id,
    eosToken: eos.token,
    padId: pad.id,
    padToken: pad.token,
    padTokenAdded: pad.isNew,
    chatTemplate,
    truncationSide,
    notes,
  };
  files.delete("config.json");
  // tokenizer.json gives ids in the order of its list: those that the configuration added come before the pad token.
  const newTokens = pad.isNew ? added.tokens.filter(({ content }) => !own.has(content)) : [];
  const plain = withNamedTemplates(files);
  const results = pad.configured && !pad.isNew ? plain : withPadToken(plain, { token: pad.token, added: newTokens });
  return new HfTokenizer(definition, info, results, file);
}

function readConfig(files: ReadonlyMap<string, Uint8Array>): FolderConfig {
  const read = (name: string) => {
    const bytes = files.get(name);
    return bytes ? parseObject(name, bytes) : {};
  };
  const tokenizer = read("tokenizer_config.json");
  const model = read("config.json");
  return {
    tokenizer,
    settings: effectiveSettings(tokenizer, read("special_tokens_map.json")),
    model,
    tokenizerClass: tokenizerClass(tokenizer, model),
  };
}

function readDefinition(dir: string, files: ReadonlyMap<string, Uint8Array>, config: FolderConfig) {
  const json = files.get(TOKENIZER_JSON);
  let read: { definition: Omit<Definition, "addedTokens">; added: AddedVocabulary };
  if (json) read = readTokenizerJson(parseObject(TOKENIZER_JSON, json));
  else if (files.has(VOCAB_JSON) && files.has(MERGES_TXT)) read = readVocabAndMerges(files, config);
  else {
    const message = `${dir} has no tokenizer; give a folder with ${TOKENIZER_JSON}, or with ${VOCAB_JSON} and ${MERGES_TXT}`;
    throw new GradpoolError("not_found", message);
  }
  return { ...read, file: json ? TOKENIZER_JSON : MERGES_TXT };
}

/**
 * What the configuration changes in a file's definition: split_special_tokens; for some classes add_prefix_space; without
 * a tokenizer.json the ids that add_bos_token and add_eos_token put around a text.
 */
function asConfigured(
  definition: Omit<Definition, "addedTokens">,
  file: string,
  config: FolderConfig,
  added: AddedVocabulary,
): Omit<Definition, "addedTokens"> {
  const { settings, tokenizerClass: traits } = config;
  const addPrefixSpace = settings["add_prefix_space"] === true;
  const stages =
    traits || file === MERGES_TXT
      ? definition.stages.map((stage) => (stage.type === "byteLevel" ? { ...stage, addPrefixSpace } : stage))
      : definition.stages;
  const around = (flag: string, role: string): number[] => {
    if (settings[flag] !== true) return [];
    const id = added.idOf(configuredToken(config, role) ?? traits?.roles[role] ?? "");
    return id === undefined ? [] : [id];
  };
  const template = file === MERGES_TXT && {
    prefix: around("add_bos_token", "bos_token"),
    suffix: around("add_eos_token", "eos_token"),
  };
  const split = settings["split_special_tokens"] === true && { splitSpecialTokens: true as const };
  return { ...definition, stages, ...template, ...split };
}

function largestId({ vocab, addedTokens }: Definition): number {
  let largest = 0;
  for (const id of vocab.values()) largest = Math.max(largest, id);
  for (const { id } of addedTokens) largest = Math.max(largest, id);
  return largest;
}

/** SHA-256 over what decides ids, in an order that does not depend on that of the files. */
/** tokenizer_config.json's word, else the direction in tokenizer.json (transformers 5.24, PreTrainedTokenizerFast). */
function truncationSideOf(files: ReadonlyMap<string, Uint8Array>, { tokenizer }: FolderConfig): TruncationSide {
  const json = files.get(TOKENIZER_JSON);
  const truncation = (json && parseObject(TOKENIZER_JSON, json)["truncation"]) as
    { direction?: unknown } | null | undefined;
  const side = tokenizer["truncation_side"] ?? truncation?.direction ?? "right";
  return String(side).toLowerCase() === "left" ? "left" : "right";
}

function hashOf(
  definition: Definition,
  eosId: number,
  padId: number,
  chatTemplate: ChatTemplateSource | undefined,
  truncationSide: TruncationSide,
): string {
  const { vocab, ...rest } = definition;
  const entries = [...vocab].sort((a, b) => a[1] - b[1]);
  const decisive: unknown[] = [entries, Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)), eosId, padId];
  if (chatTemplate) decisive.push(chatTemplate);
  if (truncationSide === "left") decisive.push(truncationSide);
  const content = JSON.stringify(decisive);
  return createHash("sha256").update(content).digest("hex");
}
