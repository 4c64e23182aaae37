export { readModel, ROPE_FACTORS, type GgufModel, type NamedTensor } from "./architecture.js";
export { dequantize } from "./dequantize.js";
export {
  isGguf,
  joinParts,
  MAX_GGUF_HEADER_BYTES,
  parseGguf,
  partNames,
  type GgufFile,
  type GgufTensor,
} from "./gguf-file.js";
export { buildTokenizer, type TokenizerFiles } from "./tokenizer.js";
