export {
  selectTargets,
  type LinearModule,
  type Model,
  type ModelDescription,
  type TokenTables,
} from "./description.js";
export { openFamily } from "./families.js";
export type { WeightEntry, WeightsHeader } from "./tensors.js";
export {
  buildLogitsGraph,
  buildLossGraph,
  buildTrainingGraph,
  gradientName,
  maskName,
  type GraphOptions,
} from "./graphs.js";
