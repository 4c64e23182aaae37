export { AdamW, type AdamWOptions, type AdamWState, type Moments, type NamedTensors } from "./adamw.js";
export { GROWTH_INTERVAL, LossScaler, NEW_LOSS_SCALER, type LossScalerState } from "./loss-scaler.js";
export { clipGradNorm } from "./clip.js";
export { learningRate, warmupStepsOf, type Schedule } from "./schedule.js";
