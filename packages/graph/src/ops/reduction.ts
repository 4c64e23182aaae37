/** Ops that make one number of many. */
import { axisOf, type Dim } from "../dims.js";
import type { Value } from "../graph.js";
import { defineOp } from "../op.js";
import { expand, reshape } from "./shape.js";

function reduced(x: Value, axes: Value, keepdims: boolean): Dim[] {
  const gone = new Set(x.graph.numbersOf(axes).map((axis) => axisOf(x.shape, axis)));
  return x.shape.flatMap((dim, axis) => (!gone.has(axis) ? [dim] : keepdims ? [1] : []));
}

const reduceSumOp = defineOp({
  name: "ReduceSum",
  inputs: ["x", "axes"],
  attributes: { keepdims: "flag" },
  infer: ({ x, axes }, { keepdims }) => [{ dtype: x.dtype, shape: reduced(x, axes, keepdims) }],
  vjp: { x: (g, { x, axes }) => expand(reshape(g, reduced(x, axes, true)), x.shape) },
});
export const reduceSum = (x: Value, axes: readonly number[], keepdims = true): Value =>
  reduceSumOp({ x, axes: x.graph.literal(BigInt64Array.from(axes, BigInt), [axes.length]) }, { keepdims })[0];

/** The two ends of what an axis holds, without gradients; NaN among the numbers may be overlooked. */
function extreme(name: "ReduceMax" | "ReduceMin") {
  const op = defineOp({
    name,
    inputs: ["x", "axes"],
    attributes: { keepdims: "flag" },
    infer: ({ x, axes }, { keepdims }) => [{ dtype: x.dtype, shape: reduced(x, axes, keepdims) }],
    vjp: {},
  });
  return (x: Value, axis: number) =>
    op({ x, axes: x.graph.literal(BigInt64Array.of(BigInt(axis)), [1]) }, { keepdims: false })[0];
}
/** The largest and the smallest along an axis, which goes. */
export const reduceMax = extreme("ReduceMax");
export const reduceMin = extreme("ReduceMin");

/**
 * The k largest of the last axis, here always 1 and so the maximum, which keeps exponentials in range: no
 * gradient. ReduceMax gives the same bits, but its CUDA kernel alone would need cuDNN. Outputs: values and indices.
 */
const topK = defineOp({
  name: "TopK",
  inputs: ["x", "k"],
  attributes: { axis: "int", largest: "flag", sorted: "flag" },
  infer: ({ x, k }) => {
    if (x.graph.numbersOf(k).join() !== "1") throw new Error("TopK: k must be the literal 1");
    const shape = [...x.shape.slice(0, -1), 1];
    return [
      { dtype: x.dtype, shape },
      { dtype: "int64", shape },
    ];
  },
  vjp: {},
});
/** The largest of the last axis, which is kept as one element. */
export const rowMax = (x: Value): Value =>
  topK({ x, k: x.graph.literal(BigInt64Array.of(1n), [1]) }, { axis: -1, largest: true, sorted: false })[0];
