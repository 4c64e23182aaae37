import { addDims, sameShape, sizeOf, type Dim } from "../dims.js";
import { concat, reshape, transpose } from "../functional.js";
import type { TensorType, Value } from "../graph.js";
import { input, outputGradient } from "./node-parts.js";
import type { OpRule } from "./table.js";

const positive = (axis: number, rank: number) => (axis + rank) % rank;

function targetShape(shape: Value): readonly Dim[] {
  const literal = shape.graph.literals.get(shape);
  const { shapeInputs, lateShapes } = shape.graph;
  const dims = literal ? Array.from(literal, Number) : (shapeInputs.get(shape) ?? lateShapes.get(shape));
  if (!dims) throw new Error("a target shape must come from Graph.shapeVector or reshapeBehind");
  return dims;
}

export type ShapeOp = "Reshape" | "Transpose" | "Split" | "Concat";

export const shapeOps: Record<ShapeOp, OpRule> = {
  /** Second input: the target, from Graph.shapeVector. */
  Reshape: {
    domain: "",
    attributes: {},
    infer: (inputs) => {
      const x = input(inputs, 0);
      const shape = targetShape(input(inputs, 1) as Value);
      if (sizeOf(shape) !== sizeOf(x.shape))
        throw new Error(`[${x.shape.join(", ")}] does not reshape to [${shape.join(", ")}]`);
      return [{ dtype: x.dtype, shape }];
    },
    vjp: [(node, gradients) => reshape(outputGradient(gradients), input(node.inputs, 0).shape), null],
  },
  Transpose: {
    domain: "",
    attributes: { perm: "ints" },
    infer: (inputs, attributes) => {
      const x = input(inputs, 0);
      const perm = attributes["perm"] as readonly number[];
      if (perm.length !== x.shape.length) throw new Error("Transpose: perm does not fit");
      return [{ dtype: x.dtype, shape: perm.map((axis) => input(x.shape, axis)) }];
    },
    vjp: [
      (node, gradients) => {
        const perm = node.attributes["perm"] as readonly number[];
        return transpose(
          outputGradient(gradients),
          perm.map((_, axis) => perm.indexOf(axis)),
        );
      },
    ],
  },
  /** Equal pieces along an axis. */
  /** Second input: the parts' lengths, from Graph.shapeVector; without one, num_outputs equal parts. */
  Split: {
    domain: "",
    attributes: { axis: "int", num_outputs: "int" },
    infer: (inputs, attributes) => {
      const x = input(inputs, 0);
      const axis = positive(attributes["axis"] as number, x.shape.length);
      const length = input(x.shape, axis);
      const part = (size: Dim): TensorType => ({
        dtype: x.dtype,
        shape: x.shape.map((dim, i) => (i === axis ? size : dim)),
      });
      if (inputs[1]) {
        const sizes = targetShape(inputs[1] as Value);
        const whole = sizes.reduce(addDims);
        if (whole !== length) throw new Error(`Split: ${sizes.join(", ")} do not add up to ${length}`);
        return sizes.map(part);
      }
      const parts = attributes["num_outputs"] as number;
      if (typeof length !== "number" || length % parts !== 0)
        throw new Error(`Split: ${length} is not ${parts} equal parts`);
      return Array.from({ length: parts }, () => part(length / parts));
    },
    vjp: [
      (node, gradients) => {
        if (gradients.some((g) => g === undefined)) throw new Error("Split: every part must be used");
        const axis = node.attributes["axis"] as number;
        return (gradients as readonly Value[]).reduce((whole, part) => concat(whole, part, axis));
      },
      null,
    ],
  },
  /** Two tensors, one behind the other. */
  Concat: {
    domain: "",
    attributes: { axis: "int" },
    infer: (inputs, attributes) => {
      const [a, b] = [input(inputs, 0), input(inputs, 1)];
      const axis = positive(attributes["axis"] as number, a.shape.length);
      const [m, n] = [input(a.shape, axis), input(b.shape, axis)];
      const others = ({ shape }: TensorType) => shape.filter((_, i) => i !== axis);
      if (!sameShape(others(a), others(b)) || a.dtype !== b.dtype) {
        throw new Error(`Concat: [${a.shape.join(", ")}] and [${b.shape.join(", ")}] do not fit`);
      }
      return [{ dtype: a.dtype, shape: a.shape.map((dim, i) => (i === axis ? addDims(m, n) : dim)) }];
    },
    vjp: [null, null],
  },
};
