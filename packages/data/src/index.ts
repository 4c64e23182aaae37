export { localFile, type ByteRange, type ByteSource, type SourceResolver } from "./byte-source.js";
export { ChatTemplate, chatTemplateOf } from "./chat-template.js";
export { checkRows, type RowsCheck } from "./check-rows.js";
export {
  chatOptionsOf,
  messagesOf,
  type Chat,
  type ChatMessage,
  type ChatTemplateSource,
  type TrainOn,
} from "./chat.js";
export { Dataset, type DatasetOptions } from "./dataset.js";
export type { DatasetPlace } from "./dataset-rows.js";
export { countKey, describeDataset, microBatchesPerEpoch, rowsAreLimited, type DatasetCount } from "./describe.js";
export * from "./limits.js";
export { microBatches, type Cursor, type MicroBatch, type StreamOptions } from "./micro-batches.js";
export { packingOf, type DataRecipe, type EncodeOptions, type Encoder } from "./recipe.js";
