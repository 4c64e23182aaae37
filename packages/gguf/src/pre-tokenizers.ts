/** The pre-tokenizers that tokenizer.ggml.pre names, as steps of tokenizer.json (llama.cpp's llama-vocab.cpp). */

export interface PreTokenizer {
  steps: object[];
  /** Texts are normalized to NFC first. */
  nfc: boolean;
  /** A piece that is a token as a whole becomes it, whatever the merges say. */
  ignoreMerges: boolean;
  /** A text begins with the bos token unless the file says otherwise. */
  addsBos: boolean;
}

const PLAIN = { nfc: false, ignoreMerges: false, addsBos: false };

/** GPT-2's own pattern is part of the byte-level step. */
const byteLevel = (useRegex: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

/** The pattern of cl100k and its relatives; digits go in groups of up to `digits`. */
const splitByPattern = (digits: string) => ({
  type: "Split",
  pattern: {
    Regex: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  },
  behavior: "Isolated",
  invert: false,
});

const LLAMA3: PreTokenizer = {
  steps: [splitByPattern("\\p{N}{1,3}"), byteLevel(false)],
  nfc: false,
  ignoreMerges: true,
  addsBos: true,
};

const GPT2: PreTokenizer = { ...PLAIN, steps: [byteLevel(true)] };
// Digits one by one before GPT-2's pattern.
const DIGITS: PreTokenizer = { ...PLAIN, steps: [{ type: "Digits", individual_digits: true }, byteLevel(true)] };
const QWEN2: PreTokenizer = { ...PLAIN, nfc: true, steps: [splitByPattern("\\p{N}"), byteLevel(false)] };

/** Names of models whose files have the pattern of another. */
const alike = (pre: PreTokenizer, names: string) => names.split(" ").map((name) => [name, pre] as const);

export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ["gpt-2", GPT2],
  ["smollm", DIGITS],
  ["llama-bpe", LLAMA3],
  ["qwen2", QWEN2],
  ...alike(
    GPT2,
    "phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert exaone4 mpt olmo jais",
  ),
  ...alike(DIGITS, "starcoder refact command-r codeshell exaone minerva-7b mellum2"),
  ...alike(LLAMA3, "llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2"),
  ...alike(QWEN2, "kormo f2llmv2 megrez"),
  // Its tokenizer.json has no normalizer.
  ["deepseek-r1-qwen", { ...QWEN2, nfc: false }],
]);
