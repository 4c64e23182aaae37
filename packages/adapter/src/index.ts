export {
  checkAdapter,
  initAdapter,
  loraNames,
  loraShapes,
  loraTensorNames,
  adapterOf,
  readAdapter,
  writeAdapter,
  type AdaptedModule,
  type AdapterTensors,
} from "./tensors.js";
export {
  adapterConfigJson,
  ALL_LINEAR,
  allLinearAsWritten,
  OWN_TARGETS,
  parseAdapterConfig,
  type AdapterConfig,
  type LoraSettings,
} from "./config.js";
export { addProduct, addSquares, loraProduct, scaleOutputs, type LoraProduct } from "./merge.js";
export { modelCard, type ModelCardOptions } from "./model-card.js";
export { isModulePattern, modulePattern } from "./module-pattern.js";
export { adaptedModules, loraScaling, ownScalings } from "./scaling.js";
