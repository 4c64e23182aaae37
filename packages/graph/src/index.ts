export { evaluateDim, type Dim, type Shape } from "./dims.js";
export { Graph, type Dtype, type FileSlice, type Node, type TensorType, type Value } from "./graph.js";
export {
  add,
  cast,
  concat,
  cos,
  div,
  embed,
  erf,
  exp,
  gather,
  gatherElements,
  gemm,
  greater,
  layerNorm,
  log,
  logSoftmax,
  matmul,
  mul,
  reduceSum,
  relu,
  reshape,
  rmsNorm,
  rotary,
  rowMax,
  scale,
  sigmoid,
  sin,
  softmax,
  split,
  splitInto,
  sqrt,
  sub,
  tanh,
  transpose,
  where,
} from "./functional.js";
export { gelu, silu } from "./groups/activations.js";
export { attention } from "./groups/attention.js";
export type { CachedMask } from "./groups/cached-attention.js";
export { checkpoint } from "./groups/checkpoint.js";
export { widened } from "./groups/weight-product.js";
export { dropout, type DropoutMask } from "./groups/dropout.js";
export { linearCrossEntropy } from "./groups/cross-entropy.js";
export { adaptedLinear } from "./groups/adapted-linear.js";
export { doraLinear, doraNorms, type DoraBranch } from "./groups/dora-linear.js";
export { loraLinear, type Linear, type LoraBranch } from "./groups/lora-linear.js";
export { backward } from "./backward.js";
export { verify } from "./verify.js";
export { print } from "./print.js";
export { toModelProto, usedInputs } from "./model-proto.js";
export { OPS, type OpType } from "./ops/table.js";
