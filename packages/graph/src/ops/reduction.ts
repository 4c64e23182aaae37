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

export type ReductionOp = "ReduceSum" | "TopK";

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
  /**
   * The k largest of the last axis, here always 1 and so the maximum, which keeps exponentials in range: no
   * gradient. ReduceMax gives the same bits, but its CUDA kernel alone would need cuDNN. Second input: k, a
   * literal. Outputs: values and indices.
   */
  TopK: {
    domain: "",
    attributes: { axis: "int", largest: "int", sorted: "int" },
    infer: (inputs) => {
      const x = input(inputs, 0);
      const k = (input(inputs, 1) as Value).graph.literals.get(input(inputs, 1) as Value);
      if (k?.length !== 1 || Number(k[0]) !== 1) throw new Error("TopK: k must be the literal 1");
      const shape = [...x.shape.slice(0, -1), 1];
      return [
        { dtype: x.dtype, shape },
        { dtype: "int64", shape },
      ];
    },
    vjp: [null, null],
  },
};
