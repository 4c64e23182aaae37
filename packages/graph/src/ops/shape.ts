/** Ops that move elements and compute nothing. */
import { addDims, axisOf, broadcast, dimOf, divideDims, sameShape, sizeOf, type Dim, type Shape } from "../dims.js";
import type { TensorType, Value } from "../graph.js";
import { defineOp } from "../op.js";
import { add } from "./elementwise.js";

const reshapeOp = defineOp({
  name: "Reshape",
  inputs: ["x", "shape"],
  infer: ({ x, shape }) => {
    const target = x.graph.dimsOf(shape);
    if (sizeOf(target) !== sizeOf(x.shape))
      throw new Error(`[${x.shape.join(", ")}] does not reshape to [${target.join(", ")}]`);
    return [{ dtype: x.dtype, shape: target }];
  },
  vjp: { x: (g, { x }) => reshape(g, x.shape) },
});

/** The same elements in another shape; "rest" is what the other dimensions leave. */
export function reshape(x: Value, shape: readonly (Dim | "rest")[]): Value {
  const known = shape.filter((dim) => dim !== "rest");
  const rest = shape.includes("rest") ? divideDims(sizeOf(x.shape), sizeOf(known)) : 1;
  const target = shape.map((dim) => (dim === "rest" ? rest : dim));
  if (sameShape(x.shape, target)) return x;
  return reshapeOp({ x, shape: x.graph.shapeVector(target) }, {})[0];
}

/** x as it is, but not before `zero` [1], an int64 0, is known. */
export function reshapeAfter(x: Value, zero: Value): Value {
  const shape = add(x.graph.shapeVector(x.shape), zero);
  x.graph.lateShapes.set(shape, x.shape);
  return reshapeOp({ x, shape }, {})[0];
}

const expandOp = defineOp({
  name: "Expand",
  inputs: ["x", "shape"],
  infer: ({ x, shape }) => {
    const target = x.graph.dimsOf(shape);
    if (!sameShape(broadcast(x.shape, target), target))
      throw new Error(`[${x.shape.join(", ")}] does not expand to [${target.join(", ")}]`);
    return [{ dtype: x.dtype, shape: target }];
  },
  vjp: { x: (g) => g },
});
/** x broadcast to a shape (numpy.broadcast_to, torch's expand). */
export const expand = (x: Value, shape: Shape): Value =>
  sameShape(x.shape, shape) ? x : expandOp({ x, shape: x.graph.shapeVector(shape) }, {})[0];

const transposeOp = defineOp({
  name: "Transpose",
  inputs: ["x"],
  attributes: { perm: "ints" },
  infer: ({ x }, { perm }) => {
    if (perm.length !== x.shape.length) throw new Error("Transpose: perm does not fit");
    return [{ dtype: x.dtype, shape: perm.map((axis) => dimOf(x.shape, axis)) }];
  },
  vjp: {
    x: (g, _, { perm }) =>
      transpose(
        g,
        perm.map((_, axis) => perm.indexOf(axis)),
      ),
  },
});
/** x with its axes in the order `perm`. */
export const transpose = (x: Value, perm: readonly number[]): Value => transposeOp({ x }, { perm })[0];

/** Into parts of the given lengths, a shape vector; without one into num_outputs equal parts. */
const splitOp = defineOp({
  name: "Split",
  inputs: ["x", "lengths?"],
  outputs: [],
  attributes: { axis: "int", "num_outputs?": "int" },
  infer: ({ x, lengths }, { axis, num_outputs: parts = 1 }) => {
    const [at, length] = [axisOf(x.shape, axis), dimOf(x.shape, axis)];
    const part = (size: Dim): TensorType => ({
      dtype: x.dtype,
      shape: x.shape.map((dim, i) => (i === at ? size : dim)),
    });
    if (lengths) {
      const sizes = x.graph.dimsOf(lengths);
      if (sizes.reduce(addDims) !== length) throw new Error(`Split: ${sizes.join(", ")} do not add up to ${length}`);
      return sizes.map(part);
    }
    if (typeof length !== "number" || length % parts !== 0)
      throw new Error(`Split: ${length} is not ${parts} equal parts`);
    return Array.from({ length: parts }, () => part(length / parts));
  },
  vjp: {
    x: (_, __, { axis }, gradients) => {
      if (gradients.some((g) => g === undefined)) throw new Error("Split: every part must be used");
      return (gradients as readonly Value[]).reduce((whole, part) => concat(whole, part, axis));
    },
  },
});
/** `parts` equal pieces along an axis. */
export const split = (x: Value, parts: number, axis: number): Value[] => splitOp({ x }, { axis, num_outputs: parts });
/** Pieces of the given lengths along an axis. */
export const splitInto = (x: Value, lengths: readonly Dim[], axis: number): Value[] =>
  splitOp({ x, lengths: x.graph.shapeVector(lengths) }, { axis });

const concatOp = defineOp({
  name: "Concat",
  inputs: ["a", "b"],
  attributes: { axis: "int" },
  infer: ({ a, b }, { axis }) => {
    const at = axisOf(a.shape, axis);
    const others = ({ shape }: TensorType) => shape.filter((_, i) => i !== at);
    if (!sameShape(others(a), others(b)) || a.dtype !== b.dtype) {
      throw new Error(`Concat: [${a.shape.join(", ")}] and [${b.shape.join(", ")}] do not fit`);
    }
    const length = addDims(dimOf(a.shape, axis), dimOf(b.shape, axis));
    return [{ dtype: a.dtype, shape: a.shape.map((dim, i) => (i === at ? length : dim)) }];
  },
  vjp: {},
});
/** Two tensors, the second after the first along an axis. */
export const concat = (a: Value, b: Value, axis: number): Value => concatOp({ a, b }, { axis })[0];
