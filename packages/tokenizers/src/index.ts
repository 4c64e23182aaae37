export type { ChatTemplateSource } from "./chat-template.js";
export { loadTokenizer, SOURCE_FILES } from "./load-tokenizer.js";
export { withNamedTemplates } from "./result-files.js";
export {
  type CutRule,
  type EncodeOptions,
  HfTokenizer,
  lastCut,
  MAX_PART_LENGTH,
  tooLong,
  type TokenizerInfo,
} from "./tokenizer.js";
