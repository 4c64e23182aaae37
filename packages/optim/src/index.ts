export { AdamW, type AdamWOptions, type AdamWState, type Moments, type NamedTensors } from "./adamw.js";
export { clipGradNorm } from "./clip.js";
export { learningRate, warmupStepsOf, type Schedule } from "./schedule.js";
