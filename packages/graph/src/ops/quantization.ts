/**
 * Whole numbers of eight bits in place of float32, and their products, whose sums are exact whatever their order. Ops of
 * ONNX Runtime's provider for processors; a processor multiplies rows of uint8 with matrices of int8 fastest.
 */
import { sameShape, type Dim } from "../dims.js";
import type { Int8Matrix, Value } from "../graph.js";
import { defineOp } from "../op.js";
import { expand } from "./shape.js";

/** uint8 holds −127 … 127 as 1 … 255. */
const ZERO_POINT = 128;

function requireRowScales({ x, scale, zero }: { x: Value; scale: Value; zero: Value }): void {
  const rows = x.shape.slice(0, 1);
  if (!sameShape(scale.shape, rows) || !sameShape(zero.shape, rows))
    throw new Error("one scale and zero point for each row");
}

const quantizeLinear = defineOp({
  name: "QuantizeLinear",
  inputs: ["x", "scale", "zero"],
  attributes: { axis: "int" },
  infer: (inputs) => {
    requireRowScales(inputs);
    return [{ dtype: inputs.zero.dtype, shape: inputs.x.shape }];
  },
  vjp: {},
});

const dequantizeLinear = defineOp({
  name: "DequantizeLinear",
  inputs: ["x", "scale", "zero"],
  attributes: { axis: "int" },
  infer: (inputs) => {
    requireRowScales(inputs);
    return [{ dtype: inputs.scale.dtype, shape: inputs.x.shape }];
  },
  vjp: {},
});

/** What stands for 0. */
const zeroOf = ({ graph, dtype }: Pick<Value, "graph" | "dtype">) =>
  graph.literal(dtype === "int8" ? Int8Array.of(0) : Uint8Array.of(ZERO_POINT));

/** x / scale, rounded half to even, for x [N, K] and one scale for each row [N]. Of NaN it makes some number. */
export function quantizeRows(x: Value, scale: Value, to: "int8" | "uint8"): Value {
  const zero = expand(zeroOf({ graph: x.graph, dtype: to }), scale.shape);
  return quantizeLinear({ x, scale, zero }, { axis: 0 })[0];
}

/** The numbers that `quantizeRows` made, times their scales: float32 [N, K]. */
export const dequantizeRows = (x: Value, scale: Value): Value =>
  dequantizeLinear({ x, scale, zero: expand(zeroOf(x), scale.shape) }, { axis: 0 })[0];

const matMulIntegerToFloat = defineOp({
  name: "MatMulIntegerToFloat",
  domain: "com.microsoft",
  inputs: ["a", "b", "scaleA", "scaleB", "zeroA", "zeroB"],
  infer: ({ a, b, scaleA, scaleB, zeroA, zeroB }) => {
    const [rows, inner, inner2, columns] = [...a.shape, ...b.shape] as [Dim, Dim, Dim, Dim];
    const fits = inner === inner2 && scaleA.shape.length === 0 && sameShape(scaleB.shape, [columns]);
    if (!fits || a.dtype !== zeroA.dtype || b.dtype !== zeroB.dtype)
      throw new Error("MatMulIntegerToFloat: inputs do not fit");
    return [{ dtype: "float32", shape: [rows, columns] }];
  },
  vjp: {},
});

/**
 * The numbers that `quantizeRows` made of a [N, K] (as uint8) times those of `b` [K, M] (as either), times `factor` and one
 * scale for each column [M]: [N, M] float32, from exact sums.
 */
export function matmulInteger(a: Value, { numbers: b, scales: scaleB }: Int8Matrix, factor = 1): Value {
  const [zeroA, zeroB] = [zeroOf(a), zeroOf(b)];
  return matMulIntegerToFloat({ a, b, scaleA: a.graph.scalar(factor), scaleB, zeroA, zeroB }, {})[0];
}
