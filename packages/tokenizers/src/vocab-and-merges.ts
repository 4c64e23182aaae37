/** Reads the two files of GPT-2: vocab.json and merges.txt. */
import { GradpoolError } from "@gradpool/errors";
import { AddedVocabulary, type Definition } from "./definition.js";
import { asObject, damaged, type JsonObject, parseObject } from "./json.js";
import type { FolderConfig } from "./special-tokens.js";
import { readAddedToken, readMerge, readVocab } from "./tokenizer-json.js";

export const VOCAB_JSON = "vocab.json";
export const MERGES_TXT = "merges.txt";
const TOKENIZER_CONFIG = "tokenizer_config.json";
const ADDED_TOKENS = "added_tokens.json";

/** Classes whose two files mean GPT-2's pattern; without a class, the model has to be a GPT-2. */
const GPT2_CLASSES = ["GPT2Tokenizer", "GPT2TokenizerFast", "TokenizersBackend", "PreTrainedTokenizerFast"];

/** Errors: `data_loss` for damaged files, `failed_precondition` for another class of tokenizer. */
export function readVocabAndMerges(
  files: ReadonlyMap<string, Uint8Array>,
  config: FolderConfig,
): { definition: Omit<Definition, "addedTokens">; added: AddedVocabulary } {
  requireGpt2(config);
  const vocab = readVocab(VOCAB_JSON, parseObject(VOCAB_JSON, files.get(VOCAB_JSON) ?? new Uint8Array()));
  const merges = readMerges(files.get(MERGES_TXT) ?? new Uint8Array());
  const added = new AddedVocabulary(vocab);
  for (const token of configuredTokens(files, config)) added.add(token);
  return {
    definition: {
      vocab,
      merges,
      ignoreMerges: false,
      unkToken: undefined,
      fuseUnk: false,
      nfc: false,
      stages: [{ type: "byteLevel", addPrefixSpace: config.tokenizer["add_prefix_space"] === true, useRegex: true }],
      prefix: [],
      suffix: [],
    },
    added,
  };
}

function requireGpt2({ tokenizer, model }: FolderConfig): void {
  const name = tokenizer["tokenizer_class"] ?? (model["model_type"] === "gpt2" ? GPT2_CLASSES[0] : undefined);
  if (typeof name === "string" && GPT2_CLASSES.includes(name)) return;
  const what = typeof name === "string" ? `a ${name}` : "a tokenizer of unknown class";
  const message = `${VOCAB_JSON} and ${MERGES_TXT} belong to ${what}: without tokenizer.json only GPT-2's are supported; save tokenizer.json beside them (tokenizer.save_pretrained in transformers)`;
  throw new GradpoolError("failed_precondition", message);
}

function readMerges(bytes: Uint8Array): [string, string][] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw damaged(MERGES_TXT, "is not UTF-8 text", cause);
  }
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines.flatMap((line, i) => (line.startsWith("#version") ? [] : [readMerge(MERGES_TXT, line, i + 1)]));
}

/** Tokens that tokenizer_config.json or added_tokens.json add, by id. */
function configuredTokens(files: ReadonlyMap<string, Uint8Array>, { tokenizer }: FolderConfig) {
  const tokens = Object.entries(
    asObject(TOKENIZER_CONFIG, "added_tokens_decoder", tokenizer["added_tokens_decoder"] ?? {}),
  );
  if (tokens.length > 0) {
    return tokens
      .map(([id, token]) =>
        readAddedToken(TOKENIZER_CONFIG, asObject(TOKENIZER_CONFIG, `token ${id}`, token), Number(id)),
      )
      .sort((a, b) => a.id - b.id);
  }
  const bytes = files.get(ADDED_TOKENS);
  const simple: JsonObject = bytes ? parseObject(ADDED_TOKENS, bytes) : {};
  return Object.entries(simple)
    .map(([content, id]) => readAddedToken(ADDED_TOKENS, { content, normalized: true }, id))
    .sort((a, b) => a.id - b.id);
}
