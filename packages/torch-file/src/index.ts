export { readTorchFile, type TorchFile } from "./torch-file.js";
export type { StridedEntry } from "./state-dict.js";
export type { RandomAccess } from "./random-access.js";
