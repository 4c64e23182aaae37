export { DTYPE_BYTES, type Dtype } from "./dtype.js";
export { headerLength, LENGTH_BYTES, MAX_HEADER_BYTES, parseHeader, tensorBytes } from "./header.js";
export type { SafetensorsHeader, TensorEntry } from "./header.js";
export { layOut, readSafetensors, writeSafetensors, type FloatTensor, type Tensor } from "./file.js";
export { bfloat16ToFloat32, float16ToFloat32, toFloat32 } from "./floats.js";
