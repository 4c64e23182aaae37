export { startCheckpointStore } from "./checkpoint-store.js";
