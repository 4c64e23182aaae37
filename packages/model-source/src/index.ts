export { openModel, type ModelSource } from "./model-source.js";
export { meanRow } from "./mean-row.js";
