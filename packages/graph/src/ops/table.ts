/**
 * The ops table: for every ONNX op that gradpool emits, its shape rule and its gradient rule side
 * by side. Letters as everywhere: B rows, S positions, N = B·S, C width, H heads, D head size, V
 * vocabulary, r rank.
 */
import type { Attributes, Node, TensorType, Value } from "../graph.js";
import { elementwiseOps, type ElementwiseOp } from "./elementwise.js";
import { indexingOps, type IndexingOp } from "./indexing.js";
import { matmulOps, type MatMulOp } from "./matmul.js";
import { normalizationOps, type NormalizationOp } from "./normalization.js";
import { reductionOps, type ReductionOp } from "./reduction.js";
import { rotaryOps, type RotaryOp } from "./rotary.js";
import { shapeOps, type ShapeOp } from "./shape.js";

/** Vector–Jacobian product: from the gradients of the node's outputs to that of one input. */
export type Vjp = (node: Node, outputGradients: readonly (Value | undefined)[]) => Value | undefined;

export interface OpRule {
  /** ONNX domain: standard ops, or ONNX Runtime's own. */
  readonly domain: "" | "com.microsoft";
  readonly attributes: Readonly<Record<string, "int" | "ints" | "float" | "string">>;
  /** Types of the outputs; throws on inputs that do not fit. */
  infer(inputs: readonly TensorType[], attributes: Attributes): TensorType[];
  /** One rule per input; null where none exists (indices, shapes) or none is needed (frozen tables). */
  readonly vjp: readonly (Vjp | null)[];
}

export type OpType = ElementwiseOp | MatMulOp | NormalizationOp | ReductionOp | ShapeOp | IndexingOp | RotaryOp;

export const OPS: Readonly<Record<OpType, OpRule>> = {
  ...elementwiseOps,
  ...matmulOps,
  ...normalizationOps,
  ...reductionOps,
  ...shapeOps,
  ...indexingOps,
  ...rotaryOps,
};
