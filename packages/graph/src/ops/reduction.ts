import { type Dim } from "../dims.js";
import { add, mul, reshape } from "../functional.js";
import type { Attributes, TensorType, Value } from "../graph.js";
import { input, outputGradient } from "./node-parts.js";
import type { OpRule } from "./table.js";

/** Axes of a reduction, from the literal that carries them. */
function axesOf(axes: TensorType): number[] {
  const { graph } = axes as Value;
  const data = graph.literals.get(axes as Value);
  if (!data) throw new Error("axes must be a literal");
  return Array.from(data, Number);
}

function reduced(x: TensorType, axes: readonly number[], keepdims: boolean): Dim[] {
  const rank = x.shape.length;
  const gone = new Set(axes.map((axis) => (axis + rank) % rank));
  return x.shape.flatMap((dim, axis) => (!gone.has(axis) ? [dim] : keepdims ? [1] : []));
}

const keeps = (attributes: Attributes) => attributes["keepdims"] === 1;

export type ReductionOp = "ReduceSum" | "ReduceMax";

export const reductionOps: Record<ReductionOp, OpRule> = {
  /** Second input: the axes, a literal. */
  ReduceSum: {
    domain: "",
    attributes: { keepdims: "int" },
    infer: (inputs, attributes) => {
      const [x, axes] = [input(inputs, 0), input(inputs, 1)];
      return [{ dtype: x.dtype, shape: reduced(x, axesOf(axes), keeps(attributes)) }];
    },
    vjp: [
      (node, gradients) => {
        const [x, axes] = [input(node.inputs, 0), input(node.inputs, 1)];
        const g = reshape(outputGradient(gradients), reduced(x, axesOf(axes), true));
        return add(mul(x, g.graph.scalar(0)), g);
      },
      null,
    ],
  },
  /** Second input: the axes, a literal. No gradient: it only keeps exponentials in range. */
  ReduceMax: {
    domain: "",
    attributes: { keepdims: "int" },
    infer: (inputs, attributes) => reductionOps.ReduceSum.infer(inputs, attributes),
    vjp: [null, null],
  },
};
