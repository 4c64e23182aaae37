export {
  namedTargets,
  selectTargets,
  type DropoutSite,
  type LinearModule,
  type ModelDescription,
  type TokenTables,
} from "./description.js";
export { BASE_PRECISIONS, type BasePrecision } from "@gradpool/graph";
export type { Model } from "./family.js";
export { isSamePlace } from "./checkpoint.js";
export { checkConfig, openFamily } from "./families.js";
export type { Int8Entries, Int8Entry, WeightEntry, WeightsHeader } from "./tensors.js";
export {
  buildLossGraph,
  buildTrainingGraph,
  gradientName,
  maskName,
  rankSymbol,
  DOCUMENT_POSITIONS,
  DROPOUT_FACTOR,
  LONGEST_DOCUMENT,
  LOSS_SCALE,
  scalingName,
  type GraphOptions,
  type TrainingOptions,
} from "./graphs.js";
export { buildLogitsGraph, EMPTY_POSITION, presentName } from "./logits-graph.js";
