/** One function per op, named as ONNX and NumPy name them: the language in which models and gradients are written. */
export * from "./elementwise.js";
export * from "./indexing.js";
export * from "./matmul.js";
export * from "./normalization.js";
export * from "./quantization.js";
export * from "./reduction.js";
export * from "./rotary.js";
export * from "./shape.js";
