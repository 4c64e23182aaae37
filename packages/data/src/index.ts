export { Dataset } from "./dataset.js";
export { describeDataset, type DatasetSize } from "./describe.js";
export * from "./limits.js";
export { microBatches, type Cursor, type MicroBatch, type StreamOptions } from "./micro-batches.js";
export { checkDataRecipe, type DataRecipe, type Encoder } from "./recipe.js";
