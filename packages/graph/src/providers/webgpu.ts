/**
 * How ops are written for ONNX Runtime's WebGPU provider, 1.30.0, where it lacks a kernel or has one whose numbers are
 * wrong or too coarse: docs/log.md has what was measured, and findings/ the scripts that show it.
 */
import { dimOf } from "../dims.js";
import { add, div, mul, reduceSum, scale, sqrt, sub, transpose } from "../ops/index.js";
import type { Op, Value } from "../graph.js";
import type { Provider } from "./provider.js";

/** ONNX's own product of matrices, the last two axes; there is no kernel for FusedMatMul. */
const MATMUL: Op = {
  name: "MatMul",
  domain: "",
  attributes: {},
  infer: ([a, b]) => [{ dtype: a!.dtype, shape: [...a!.shape.slice(0, -1), dimOf(b!.shape, -1)] }],
  vjp: [null, null],
};

/** ONNX's Gemm without a third operand: transposes and a factor are free, but only for matrices. */
const PRODUCT: Op = {
  name: "Gemm",
  domain: "",
  attributes: { transA: "flag", transB: "flag", alpha: "float" },
  infer: ([a, b], { transA, transB }) => {
    const shape = [dimOf(a!.shape, transA ? 1 : 0), dimOf(b!.shape, transB ? 0 : 1)];
    return [{ dtype: a!.dtype, shape }];
  },
  vjp: [null, null],
};

/** The largest along an axis, given as a literal. */
const REDUCE_MAX: Op = {
  name: "ReduceMax",
  domain: "",
  attributes: { keepdims: "flag" },
  infer: ([x]) => [{ dtype: x!.dtype, shape: [...x!.shape.slice(0, -1), 1] }],
  vjp: [null, null],
};

export const webgpu: Provider = {
  /**
   * Whole numbers are 32 bits wide there, and only look-ups take them; WGSL allows Cos and Sin an absolute error of
   * 2^-11, which as angles of rotary positions changes gradients in the fourth digit.
   */
  isForProcessor: ({ op, inputs }) =>
    op.name === "Cos" || op.name === "Sin" || inputs[op.name === "Where" ? 1 : 0]?.dtype === "int64",
  rules: {
    FusedMatMul: ([a, b], { attributes }) => {
      const { transA, transB, alpha } = attributes as { transA: boolean; transB: boolean; alpha: number };
      const { graph, shape } = a!;
      if (shape.length === 2) return graph.apply(PRODUCT, [a!, b!], { transA, transB, alpha });
      const turned = (x: Value, isTurned: boolean) => (isTurned ? transpose(x, lastTwoSwapped(x)) : x);
      return [scale(graph.apply(MATMUL, [turned(a!, transA), turned(b!, transB)])[0], alpha)];
    },
    // Its variance is E[x²] − E[x]², which has few digits left in rows that are far from zero.
    LayerNormalization: ([x, weight, bias], { op, attributes }) => {
      const { graph } = x!;
      const mean = rowMean(x!);
      const [y, , inverse] = graph.apply(op, [sub(x!, mean), weight!, bias!], attributes);
      return [y, mean, inverse];
    },
    // The second output is the row's mean instead of its inverse root mean square.
    SimplifiedLayerNormalization: ([x, weight], { op, attributes }) => {
      const { graph } = x!;
      const [y] = graph.apply(op, [x!, weight!], attributes);
      const { epsilon } = attributes as { epsilon: number };
      return [y, div(graph.scalar(1), sqrt(add(rowMean(mul(x!, x!)), graph.scalar(epsilon))))];
    },
    TopK: ([x], { outputs }) => {
      const axes = x!.graph.literal(BigInt64Array.of(-1n), [1]);
      const [largest] = x!.graph.apply(REDUCE_MAX, [x!, axes], { keepdims: true });
      return [largest, ...outputs.slice(1).map(() => undefined)];
    },
  },
};

const rowMean = (x: Value) => scale(reduceSum(x, [-1]), 1 / (x.shape.at(-1) as number));

const lastTwoSwapped = ({ shape: { length } }: Value) =>
  Array.from({ length }, (_, axis) => (axis < length - 2 ? axis : 2 * length - 3 - axis));
