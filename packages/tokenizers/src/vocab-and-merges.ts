/** Reads the two files that GPT-2's tokenizer and its relatives come in: vocab.json and merges.txt. */
import { GradpoolError } from "@gradpool/errors";
import { AddedVocabulary, type Definition } from "./definition.js";
import { damaged, parseObject } from "./json.js";
import type { FolderConfig } from "./special-tokens.js";
import { GPT2, type TokenizerClass } from "./tokenizer-class.js";
import { readMerge, readVocab } from "./tokenizer-json.js";

export const VOCAB_JSON = "vocab.json";
export const MERGES_TXT = "merges.txt";

/** Without a class of its own the two files mean GPT-2's; without any class, the model has to be a GPT-2. */
const LIKE_GPT2 = ["TokenizersBackend", "PreTrainedTokenizerFast"];

/** Errors: `data_loss` for damaged files, `failed_precondition` for another class of tokenizer. */
export function readVocabAndMerges(
  files: ReadonlyMap<string, Uint8Array>,
  config: FolderConfig,
): { definition: Omit<Definition, "addedTokens">; added: AddedVocabulary } {
  const { nfc, stages } = classOf(config);
  const vocab = readVocab(VOCAB_JSON, parseObject(VOCAB_JSON, files.get(VOCAB_JSON) ?? new Uint8Array()));
  const merges = readMerges(files.get(MERGES_TXT) ?? new Uint8Array());
  const added = new AddedVocabulary(vocab);
  return {
    definition: {
      vocab,
      merges,
      ignoreMerges: false,
      unkToken: undefined,
      fuseUnk: false,
      nfc,
      stages: [...stages],
      prefix: [],
      suffix: [],
    },
    added,
  };
}

function classOf({ tokenizer, tokenizerClass: traits }: FolderConfig): Pick<TokenizerClass, "nfc" | "stages"> {
  const name = tokenizer["tokenizer_class"];
  if (traits) return traits;
  if (typeof name === "string" && LIKE_GPT2.includes(name)) return GPT2;
  const what = typeof name === "string" ? `a ${name}` : "a tokenizer of unknown class";
  const message = `${VOCAB_JSON} and ${MERGES_TXT} belong to ${what}: without tokenizer.json only those of GPT-2, GPT-NeoX and Qwen2 are supported; save tokenizer.json beside them (tokenizer.save_pretrained in transformers)`;
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
