export type { Batch } from "./batch.js";
export {
  LossSession,
  TrainingSession,
  type Adapter,
  type Base,
  type LossResult,
  type TrainingResult,
} from "./training-session.js";
export { KeyValueCache } from "./key-value-cache.js";
export { LogitsSession } from "./logits-session.js";
export { onnxRuntimeVersion } from "./session.js";
export { LostDeviceError } from "./session-errors.js";
export { onnxSessionOptions, type Gpu, type SessionOptions } from "./session-options.js";
export { processorMemory } from "./processor-memory.js";
export { cudaEnvironment, listCudaDevices, requireCudaDevices, type CudaDevice } from "./cuda/devices.js";
export { requireCudaDevice, type UsableCudaDevice } from "./cuda/usable.js";
export { listWebGpuAdapters, type WebGpuAdapter } from "./webgpu/adapters.js";
export { profiledNodes, type ProfiledNodes } from "./profile.js";
export { chooseGpu, type ChosenGpu } from "./choose-gpu.js";
export { DEVICE_WORDS, parseDevice, type DeviceRequest } from "./device-request.js";
export { dropoutMask, dropoutMasks, siteMasks, type DropoutKey } from "./dropout-masks.js";
