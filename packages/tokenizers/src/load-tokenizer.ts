import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { type ChatTemplateSource, readChatTemplate } from "./chat-template.js";
import type { AddedVocabulary, Definition } from "./definition.js";
import { parseObject, readIfPresent } from "./json.js";
import { TOKENIZER_FILES, withPadToken } from "./result-files.js";
import { addConfiguredTokens, choosePad, findEos, type FolderConfig } from "./special-tokens.js";
import { HfTokenizer, type TokenizerInfo } from "./tokenizer.js";
import { readTokenizerJson, TOKENIZER_JSON } from "./tokenizer-json.js";
import { MERGES_TXT, readVocabAndMerges, VOCAB_JSON } from "./vocab-and-merges.js";

/** The files of a model folder that decide its tokenizer. */
export const SOURCE_FILES: readonly string[] = [...TOKENIZER_FILES, "config.json"];

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
  const { definition: base, added, file } = readDefinition(dir, files, config);
  addConfiguredTokens(config, added);
  const eos = findEos(config, added, base.vocab);
  const pad = choosePad(config, added, base.vocab, padToken);
  const definition: Definition = { ...base, addedTokens: added.tokens };
  const chatTemplate = readChatTemplate(files, config);
  const info: TokenizerInfo = {
    hash: hashOf(definition, eos.id, pad.id, chatTemplate),
    vocabSize: 1 + largestId(definition),
    eosId: eos.id,
    eosToken: eos.token,
    padId: pad.id,
    padToken: pad.token,
    padTokenAdded: pad.isNew,
    chatTemplate,
  };
  files.delete("config.json");
  const addedPad = pad.isNew ? added.tokens.find(({ id }) => id === pad.id) : undefined;
  const results = pad.configured && !pad.isNew ? files : withPadToken(files, { token: pad.token, added: addedPad });
  return new HfTokenizer(definition, info, results, file);
}

function readConfig(files: ReadonlyMap<string, Uint8Array>): FolderConfig {
  const read = (name: string) => {
    const bytes = files.get(name);
    return bytes ? parseObject(name, bytes) : {};
  };
  return {
    tokenizer: read("tokenizer_config.json"),
    specialTokens: read("special_tokens_map.json"),
    model: read("config.json"),
  };
}

function readDefinition(dir: string, files: ReadonlyMap<string, Uint8Array>, config: FolderConfig) {
  const json = files.get(TOKENIZER_JSON);
  let read: { definition: Omit<Definition, "addedTokens">; added: AddedVocabulary };
  if (json) read = readTokenizerJson(parseObject(TOKENIZER_JSON, json));
  else if (files.has(VOCAB_JSON) && files.has(MERGES_TXT)) read = readVocabAndMerges(files, config);
  else {
    const message = `${dir} holds no tokenizer; give a folder with ${TOKENIZER_JSON}, or with ${VOCAB_JSON} and ${MERGES_TXT}`;
    throw new GradpoolError("not_found", message);
  }
  return { ...read, file: json ? TOKENIZER_JSON : MERGES_TXT };
}

function largestId({ vocab, addedTokens }: Definition): number {
  let largest = 0;
  for (const id of vocab.values()) largest = Math.max(largest, id);
  for (const { id } of addedTokens) largest = Math.max(largest, id);
  return largest;
}

/** SHA-256 over what decides ids, in an order that does not depend on that of the files. */
function hashOf(
  definition: Definition,
  eosId: number,
  padId: number,
  chatTemplate: ChatTemplateSource | undefined,
): string {
  const { vocab, ...rest } = definition;
  const entries = [...vocab].sort((a, b) => a[1] - b[1]);
  const decisive: unknown[] = [entries, Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)), eosId, padId];
  if (chatTemplate) decisive.push(chatTemplate);
  const content = JSON.stringify(decisive);
  return createHash("sha256").update(content).digest("hex");
}
