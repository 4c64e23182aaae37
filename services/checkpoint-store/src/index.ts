export { CheckpointStore } from "./checkpoint-store.js";
