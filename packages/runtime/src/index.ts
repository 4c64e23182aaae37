export type { Batch } from "./batch.js";
export {
  LogitsSession,
  LossSession,
  TrainingSession,
  type Adapter,
  type Base,
  type LossResult,
  type TrainingResult,
} from "./training-session.js";
export { onnxRuntimeVersion, type SessionOptions } from "./session.js";
export { dropoutMask, dropoutMasks, siteMasks, type DropoutKey } from "./dropout-masks.js";
