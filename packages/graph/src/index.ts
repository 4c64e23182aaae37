/** In reading order: docs/how-training-works.md explains it. */
export { evaluateDim, type Dim, type Shape } from "./dims.js";
export {
  Graph,
  type Dtype,
  type FileSlice,
  type Int8Matrix,
  type Node,
  type Op,
  type TensorType,
  type Value,
} from "./graph.js";
export { OPS } from "./op.js";
export * from "./ops/index.js";
export { backward } from "./backward.js";
export { gated, gelu, silu } from "./groups/activations.js";
export { attention } from "./groups/attention.js";
export type { CachedMask } from "./groups/cached-attention.js";
export { checkpoint } from "./groups/checkpoint.js";
export { linearCrossEntropy } from "./groups/cross-entropy.js";
export { dropout, type DropoutMask } from "./groups/dropout.js";
export { widened } from "./groups/weight-product.js";
export { BASE_PRECISIONS, type BasePrecision, type Linear } from "./groups/linear.js";
export { loraLinear, type LoraBranch } from "./groups/lora-linear.js";
export { doraLinear, doraNorms, type DoraBranch } from "./groups/dora-linear.js";
export { adaptedLinear } from "./groups/adapted-linear.js";
export { print } from "./print.js";
export { verify } from "./verify.js";
export { toModelProto, usedInputs } from "./model-proto.js";
export { writeFor, type ProviderName, type WrittenGraph } from "./providers/write-for.js";
