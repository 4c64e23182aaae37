export { readTorchFile } from "./torch-file.js";
export type { StridedEntry, TorchFile } from "./state-dict.js";
export type { RandomAccess } from "./random-access.js";
