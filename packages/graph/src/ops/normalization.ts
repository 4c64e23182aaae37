import { exp, mul, reduceSum, reshape, scale, sub } from "../functional.js";
import type { Node, TensorType, Value } from "../graph.js";
import { input, output, outputGradient } from "./node-parts.js";
import type { OpRule } from "./table.js";

const sameType = (inputs: readonly TensorType[]): TensorType[] => [
  { dtype: input(inputs, 0).dtype, shape: input(inputs, 0).shape },
];

const rowSum = (x: Value) => reduceSum(x, [-1]);

/** (x − mean)·inverse standard deviation, from the statistics that the forward op already gave. */
const normalized = (node: Node) => mul(sub(input(node.inputs, 0), output(node, 1)), output(node, 2));

const overRows = (g: Value, like: Value) => reshape(reduceSum(reshape(g, ["rest", ...like.shape]), [0]), like.shape);

export type NormalizationOp = "LayerNormalization" | "SimplifiedLayerNormalization" | "Softmax" | "LogSoftmax";

export const normalizationOps: Record<NormalizationOp, OpRule> = {
  /** Outputs: normalized [.., C], mean [.., 1], inverse standard deviation [.., 1]. */
  LayerNormalization: {
    domain: "",
    attributes: { axis: "int", epsilon: "float" },
    infer: (inputs) => {
      const x = input(inputs, 0);
      const statistics: TensorType = { dtype: "float32", shape: [...x.shape.slice(0, -1), 1] };
      return [{ dtype: x.dtype, shape: x.shape }, statistics, statistics];
    },
    vjp: [
      // inv·(d − mean(d) − x̂·mean(d∘x̂)) with d = g∘weight.
      (node, gradients) => {
        const width = input(node.inputs, 0).shape.at(-1) as number;
        const d = mul(outputGradient(gradients), input(node.inputs, 1));
        const hat = normalized(node);
        const centered = sub(d, scale(rowSum(d), 1 / width));
        const projected = mul(hat, scale(rowSum(mul(d, hat)), 1 / width));
        return mul(sub(centered, projected), output(node, 2));
      },
      (node, gradients) => overRows(mul(outputGradient(gradients), normalized(node)), input(node.inputs, 1)),
      (node, gradients) => overRows(outputGradient(gradients), input(node.inputs, 2)),
    ],
  },
  /**
   * Root-mean-square normalization (Zhang & Sennrich 2019), an op of ONNX Runtime in the standard domain.
   * Outputs: normalized [.., C], inverse root mean square [.., 1].
   */
  SimplifiedLayerNormalization: {
    domain: "",
    attributes: { axis: "int", epsilon: "float" },
    infer: (inputs) => {
      const x = input(inputs, 0);
      return [
        { dtype: x.dtype, shape: x.shape },
        { dtype: "float32", shape: [...x.shape.slice(0, -1), 1] },
      ];
    },
    vjp: [
      // inv·(d − x̂·mean(d∘x̂)) with d = g∘weight, x̂ = x·inv.
      (node, gradients) => {
        const [x, inverse] = [input(node.inputs, 0), output(node, 1)];
        const width = x.shape.at(-1) as number;
        const d = mul(outputGradient(gradients), input(node.inputs, 1));
        const hat = mul(x, inverse);
        return mul(sub(d, mul(hat, scale(rowSum(mul(d, hat)), 1 / width))), inverse);
      },
      (node, gradients) =>
        overRows(mul(outputGradient(gradients), mul(input(node.inputs, 0), output(node, 1))), input(node.inputs, 1)),
    ],
  },
  Softmax: {
    domain: "",
    attributes: { axis: "int" },
    infer: sameType,
    vjp: [
      (node, gradients) => {
        const [g, p] = [outputGradient(gradients), output(node)];
        return mul(p, sub(g, rowSum(mul(g, p))));
      },
    ],
  },
  LogSoftmax: {
    domain: "",
    attributes: { axis: "int" },
    infer: sameType,
    vjp: [
      (node, gradients) => {
        const g = outputGradient(gradients);
        return sub(g, mul(exp(output(node)), rowSum(g)));
      },
    ],
  },
};
