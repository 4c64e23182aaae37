export {
  selectTargets,
  type DropoutSite,
  type LinearModule,
  type Model,
  type ModelDescription,
  type TokenTables,
} from "./description.js";
export { openFamily } from "./families.js";
export {
  buildLogitsGraph,
  buildLossGraph,
  buildTrainingGraph,
  gradientName,
  maskName,
  rankSymbol,
  scalingName,
  type GraphOptions,
  type TrainingOptions,
} from "./graphs.js";
