export {
  checkAdapter,
  initAdapter,
  loraNames,
  loraShapes,
  loraTensorNames,
  readAdapter,
  writeAdapter,
  type AdaptedModule,
  type AdapterTensors,
} from "./tensors.js";
export { adapterConfigJson, parseAdapterConfig, type AdapterConfig, type LoraSettings } from "./config.js";
export { addProduct, loraProduct, type LoraProduct } from "./merge.js";
export { modelCard, type ModelCardOptions } from "./model-card.js";
