export {
  ADAPTER_CONFIG_FILE,
  ADAPTER_FILE,
  checkCheckpointName,
  checkFileName,
  checkResultFileName,
  checkpointName,
  isCheckpointName,
  isRecoveryName,
  LOCK_FILE,
  MANIFEST_FILE,
  METRICS_FILE,
  MODEL_CARD_FILE,
  newestByName,
  placeOf,
  recoveryName,
  TRAINER_STATE_FILE,
  TRAINING_STATE_FILE,
  type Place,
} from "./names.js";
export {
  damageOf,
  manifestBytes,
  MAX_FILES,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Manifest,
  type ManifestFile,
} from "./manifest.js";
export type { FileProblem } from "./file-problem.js";
export { snakeKeys } from "./json.js";
export { lockBytes, lockOf, MAX_LOCK_BYTES, parseLock, type Lock } from "./lock.js";
export {
  METRICS_HEAD_BYTES,
  metricsPieces,
  parseMetrics,
  runIdOfMetrics,
  totalTokens,
  type Metrics,
  type MetricsFacts,
} from "./metrics.js";
export {
  MAX_TRAINER_STATE_BYTES,
  parseTrainerState,
  trainerStateBytes,
  type LossScaling,
  type Receipt,
  type StateFacts,
  type SavedState,
} from "./trainer-state.js";
export { readTrainingState, trainingStateBytes, type TrainingTensors } from "./training-state.js";
