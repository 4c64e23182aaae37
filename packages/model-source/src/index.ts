export { openModel, type ModelSource } from "./model-source.js";
export { modelFolder } from "./model-path.js";
export { meanRow } from "./mean-row.js";
