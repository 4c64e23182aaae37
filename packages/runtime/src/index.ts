export type { Batch } from "./batch.js";
export {
  LossSession,
  TrainingSession,
  type Adapter,
  type Base,
  type LossResult,
  type TrainingResult,
} from "./training-session.js";
export { KeyValueCache, LogitsSession } from "./logits-session.js";
export { onnxRuntimeVersion, type SessionOptions } from "./session.js";
export { dropoutMask, dropoutMasks, type DropoutKey } from "./dropout-masks.js";
