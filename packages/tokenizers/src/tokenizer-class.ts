/**
 * The classes that transformers 5.24 gives a byte-level tokenizer, as far as they add to what the files say: names of
 * special tokens that no file configures, and a pre-tokenizer of their own in the place of tokenizer.json's.
 */
import type { Definition } from "./definition.js";
import type { JsonObject } from "./json.js";
import { QWEN2_PATTERN } from "./gpt2.js";
import type { Stage } from "./pre-tokenizer.js";

export interface TokenizerClass {
  name: string;
  /** Special tokens by role, where the configuration names none (the defaults of __init__). */
  roles: Readonly<Record<string, string>>;
  /** What it builds whatever tokenizer.json says; a byte-level stage's add_prefix_space is the configuration's. */
  nfc: boolean;
  stages: readonly Stage[];
  /** It adds all special tokens once more, without the flags that the configuration gives them. */
  plainSpecials: boolean;
  /** Ids around a text are those of add_bos_token and add_eos_token alone. */
  ownTemplate: boolean;
}

const END = "<|endoftext|>";
const byteLevel = (useRegex: boolean): Stage => ({ type: "byteLevel", addPrefixSpace: false, useRegex });

export const GPT2: TokenizerClass = {
  name: "GPT2Tokenizer",
  roles: { bos_token: END, eos_token: END, unk_token: END },
  nfc: false,
  stages: [byteLevel(true)],
  plainSpecials: false,
  ownTemplate: false,
};

const GPT_NEOX: TokenizerClass = {
  ...GPT2,
  name: "GPTNeoXTokenizer",
  roles: { ...GPT2.roles, pad_token: "<|padding|>" },
  nfc: true,
  ownTemplate: true,
};

const QWEN2: TokenizerClass = {
  ...GPT2,
  name: "Qwen2Tokenizer",
  roles: { eos_token: END, unk_token: END, pad_token: END },
  nfc: true,
  stages: [{ type: "pattern", source: QWEN2_PATTERN, literal: false, keepGaps: true }, byteLevel(false)],
  plainSpecials: true,
};

const BY_NAME = new Map([GPT2, GPT_NEOX, QWEN2].map((traits) => [traits.name, traits]));

/** Of models whose configuration names no class (TOKENIZER_MAPPING_NAMES). */
const BY_MODEL = new Map([
  ["gpt2", GPT2],
  ["gpt_neox", GPT_NEOX],
  ["qwen2", QWEN2],
  ["qwen3", QWEN2],
]);

/** Classes that take a byte-level tokenizer.json as it is. */
const FOLLOW_THE_FILE = new Set([
  "PreTrainedTokenizer",
  "TokenizersBackend",
  "PythonBackend",
  "LlamaTokenizer",
  "BloomTokenizer",
]);

/** The class's name without "Fast", as AutoTokenizer looks it up; undefined: no file names one. */
function className(tokenizer: JsonObject, model: JsonObject): string | undefined {
  const name = tokenizer["tokenizer_class"] ?? model["tokenizer_class"];
  return typeof name === "string" ? name.replace(/Fast$/, "") : undefined;
}

/** The class that AutoTokenizer chooses; undefined: one that adds nothing to the files. */
export function tokenizerClass(tokenizer: JsonObject, model: JsonObject): TokenizerClass | undefined {
  const name = className(tokenizer, model);
  const modelType = String(model["model_type"]);
  // Its hub repositories are known to name wrong classes (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS).
  if (name === undefined || modelType === "qwen2") return BY_MODEL.get(modelType);
  // For Mistral, a class other than its own means TokenizersBackend.
  return modelType === "mistral" ? undefined : BY_NAME.get(name);
}

/** Notes for the user: where transformers 5 does not follow tokenizer.json, and gradpool does. */
export function classNotes(
  traits: TokenizerClass | undefined,
  { tokenizer, model }: { tokenizer: JsonObject; model: JsonObject },
  definition: Definition,
): string[] {
  const name = className(tokenizer, model);
  if (!traits) {
    if (name === undefined || FOLLOW_THE_FILE.has(name) || BY_NAME.has(name)) return [];
    return [
      `tokenizer_class ${JSON.stringify(name)} has no effect here: gradpool encodes text by tokenizer.json alone, and transformers may add to that`,
    ];
  }
  const own = JSON.stringify(plain(traits.stages));
  const listed = tokenizer["added_tokens_decoder"];
  const isListed = (content: string) =>
    Object.values(listed as JsonObject).some((token) => (token as JsonObject | null)?.["content"] === content);
  const replaced = [
    ...(JSON.stringify(plain(definition.stages)) === own ? [] : ["pre-tokenizer"]),
    ...(definition.nfc === traits.nfc ? [] : ["normalizer"]),
    ...(definition.ignoreMerges ? ["ignore_merges"] : []),
    ...(traits.ownTemplate && definition.prefix.length + definition.suffix.length > 0 ? ["post-processor"] : []),
    ...(typeof listed !== "object" || definition.addedTokens.every(({ content }) => isListed(content))
      ? []
      : ["list of added tokens"]),
  ];
  if (replaced.length === 0) return [];
  return [
    `transformers 5 replaces the ${replaced.join(", ")} of this tokenizer.json by what its class ${traits.name} has; gradpool follows the file, as the tokenizers library and transformers 4 do (docs/compatibility.md)`,
  ];
}

const plain = (stages: readonly Stage[]) =>
  stages.map((stage) => (stage.type === "byteLevel" ? { ...stage, addPrefixSpace: false } : stage));
