/** One function per op, named as ONNX and NumPy name them: the language in which models and gradients are written. */
import { divideDims, sameShape, sizeOf, type Dim } from "./dims.js";
import type { Dtype, Value } from "./graph.js";
import type { OpType } from "./ops/table.js";

function one(op: OpType, inputs: readonly Value[], attributes = {}): Value {
  const [first, ...rest] = inputs;
  if (!first) throw new Error(`${op} needs an input`);
  const [output] = first.graph.apply(op, [first, ...rest], attributes);
  if (!output) throw new Error(`${op} has no output`);
  return output;
}

export const add = (a: Value, b: Value) => one("Add", [a, b]);
export const sub = (a: Value, b: Value) => one("Sub", [a, b]);
export const mul = (a: Value, b: Value) => one("Mul", [a, b]);
export const div = (a: Value, b: Value) => one("Div", [a, b]);
export const exp = (x: Value) => one("Exp", [x]);
export const log = (x: Value) => one("Log", [x]);
export const sqrt = (x: Value) => one("Sqrt", [x]);
export const cos = (x: Value) => one("Cos", [x]);
export const sin = (x: Value) => one("Sin", [x]);
export const erf = (x: Value) => one("Erf", [x]);
export const tanh = (x: Value) => one("Tanh", [x]);
export const sigmoid = (x: Value) => one("Sigmoid", [x]);
export const relu = (x: Value) => one("Relu", [x]);
/** x times a known number. */
export const scale = (x: Value, factor: number) => (factor === 1 ? x : mul(x, x.graph.scalar(factor)));
export const gelu = (x: Value, approximate: "none" | "tanh") => one("Gelu", [x], { approximate });
export const greater = (a: Value, b: Value) => one("Greater", [a, b]);
export const where = (condition: Value, a: Value, b: Value) => one("Where", [condition, a, b]);
export const cast = (x: Value, dtype: Dtype) => (x.dtype === dtype ? x : one("Cast", [x], { to: dtype }));

/** alpha · op(a) · op(b), op transposing the last two axes where asked. Leading axes must be equal. */
export function matmul(
  a: Value,
  b: Value,
  options: { transA?: boolean; transB?: boolean; alpha?: number } = {},
): Value {
  const { transA = false, transB = false, alpha = 1 } = options;
  return one("FusedMatMul", [a, b], { transA: Number(transA), transB: Number(transB), alpha });
}

/** a · op(b) + c for matrices; c a matrix of the result's shape, or a row vector added to each row. */
export function gemm(a: Value, b: Value, c: Value, options: { transB?: boolean } = {}): Value {
  return one("Gemm", [a, b, c], { transB: Number(options.transB ?? false) });
}

/** Layer normalization over the last axis; mean and inverse standard deviation come along for the gradient. */
export const layerNorm = (x: Value, weight: Value, bias: Value, epsilon: number) =>
  one("LayerNormalization", [x, weight, bias], { axis: -1, epsilon });
/** Root-mean-square normalization over the last axis. */
export const rmsNorm = (x: Value, weight: Value, epsilon: number) =>
  one("SimplifiedLayerNormalization", [x, weight], { axis: -1, epsilon });
/** Rotates pairs (i, i + D/2) of x [B, H, S, D] by angles whose cosines and sines are [S, D/2] (Su et al. 2021). */
export const rotary = (x: Value, cosines: Value, sines: Value) =>
  one("RotaryEmbedding", [x, x.graph.literal(BigInt64Array.of(0n), [1]), cosines, sines]);
export const softmax = (x: Value) => one("Softmax", [x], { axis: -1 });
export const logSoftmax = (x: Value) => one("LogSoftmax", [x], { axis: -1 });

export function reduceSum(x: Value, axes: readonly number[], keepdims = true): Value {
  return one("ReduceSum", [x, axesLiteral(x, axes)], { keepdims: Number(keepdims) });
}

/** The largest of the last axis, which is kept as one element. */
export const rowMax = (x: Value) =>
  one("TopK", [x, x.graph.literal(BigInt64Array.of(1n), [1])], { axis: -1, largest: 1, sorted: 0 });

const axesLiteral = (x: Value, axes: readonly number[]) =>
  x.graph.literal(BigInt64Array.from(axes, BigInt), [axes.length]);

/** The same elements in another shape; "rest" stands for what the other dimensions leave. */
export function reshape(x: Value, shape: readonly (Dim | "rest")[]): Value {
  const known = shape.filter((dim) => dim !== "rest");
  const rest = shape.includes("rest") ? divideDims(sizeOf(x.shape), sizeOf(known)) : 1;
  const target = shape.map((dim) => (dim === "rest" ? rest : dim));
  if (sameShape(x.shape, target)) return x;
  return one("Reshape", [x, x.graph.shapeVector(target)], {});
}

export const transpose = (x: Value, perm: readonly number[]) => one("Transpose", [x], { perm });
export const concat = (a: Value, b: Value, axis: number) => one("Concat", [a, b], { axis });

/** `parts` equal pieces along an axis. */
export const split = (x: Value, parts: number, axis: number): Value[] =>
  x.graph.apply("Split", [x], { axis, num_outputs: parts });

/** Pieces of the given lengths along an axis. */
export const splitInto = (x: Value, lengths: readonly Dim[], axis: number): Value[] =>
  x.graph.apply("Split", [x, x.graph.shapeVector(lengths)], { axis });

/** Rows of `table` [V, …] at `indices`. */
export const gather = (table: Value, indices: Value) => one("Gather", [table, indices], { axis: 0 });
/** The same in float32, whatever the table is kept in. */
export const embed = (table: Value, indices: Value) => cast(gather(table, indices), "float32");
/** x[n, indices[n, k]] for x [N, V], indices [N, K]. */
export const gatherElements = (x: Value, indices: Value) => one("GatherElements", [x, indices], { axis: 1 });

/** Sums `gradient` over the axes along which a value of `shape` was broadcast. */
export function unbroadcast(gradient: Value, shape: Value["shape"]): Value {
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dim !== 1) ? [axis] : [],
  );
  return axes.length === 0 ? gradient : reshape(reduceSum(gradient, axes), shape);
}
