export { convertedGguf } from "./gguf-conversion.js";
export { readRegularFile } from "./model-folder.js";
export { openModel, type ModelSource } from "./model-source.js";
export { modelPath, type ModelPath } from "./model-path.js";
export { moduleWeight, squaredNorms, weightNorms } from "./module-weights.js";
export { tensorPieces } from "./tensor-pieces.js";
export { float16Weights } from "./float16-weights.js";
export { TORCH_ADAPTER, torchAdapter } from "./torch-adapter.js";
export { meanRow } from "./mean-row.js";
