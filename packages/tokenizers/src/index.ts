export { loadTokenizer, SOURCE_FILES } from "./load-tokenizer.js";
export { type EncodeOptions, HfTokenizer, MAX_PART_LENGTH, tooLong, type TokenizerInfo } from "./tokenizer.js";
