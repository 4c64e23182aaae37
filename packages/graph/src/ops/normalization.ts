/** Normalizations over the last axis, of width C. */
import type { Value } from "../graph.js";
import { defineOp, sameType } from "../op.js";
import { mul, scale, sub } from "./elementwise.js";
import { reduceSum } from "./reduction.js";

const rowSum = (x: Value) => reduceSum(x, [-1]);
const rowMean = (x: Value) => scale(rowSum(x), 1 / (x.shape.at(-1) as number));

const statistics = ({ shape }: Value) => ({ dtype: "float32", shape: [...shape.slice(0, -1), 1] }) as const;

/** Outputs: normalized [.., C], mean [.., 1], inverse standard deviation [.., 1]. */
const layerNormalization = defineOp({
  name: "LayerNormalization",
  inputs: ["x", "weight", "bias"],
  outputs: ["y", "mean", "inverse"],
  attributes: { axis: "int", epsilon: "float" },
  infer: ({ x }) => [...sameType({ x }), statistics(x), statistics(x)],
  vjp: {
    // inv·(d − mean(d) − x̂·mean(d∘x̂)) with d = g∘weight.
    x: (g, { x, weight, mean, inverse }) => {
      const d = mul(g, weight);
      const hat = mul(sub(x, mean), inverse);
      const centered = sub(d, rowMean(d));
      return mul(sub(centered, mul(hat, rowMean(mul(d, hat)))), inverse);
    },
    weight: (g, { x, mean, inverse }) => mul(g, mul(sub(x, mean), inverse)),
    bias: (g) => g,
  },
});
/** Layer normalization (Ba et al. 2016); mean and inverse standard deviation are outputs for the gradient. */
export const layerNorm = (x: Value, weight: Value, bias: Value, epsilon: number): Value =>
  layerNormalization({ x, weight, bias }, { axis: -1, epsilon })[0];

/** An op of ONNX Runtime in the standard domain. Outputs: normalized [.., C], inverse root mean square [.., 1]. */
const simplifiedLayerNormalization = defineOp({
  name: "SimplifiedLayerNormalization",
  inputs: ["x", "weight"],
  outputs: ["y", "inverse"],
  attributes: { axis: "int", epsilon: "float" },
  infer: ({ x }) => [...sameType({ x }), statistics(x)],
  vjp: {
    // inv·(d − x̂·mean(d∘x̂)) with d = g∘weight, x̂ = x·inv.
    x: (g, { x, weight, inverse }) => {
      const d = mul(g, weight);
      const hat = mul(x, inverse);
      return mul(sub(d, mul(hat, rowMean(mul(d, hat)))), inverse);
    },
    weight: (g, { x, inverse }) => mul(g, mul(x, inverse)),
  },
});
/** Root-mean-square normalization (Zhang & Sennrich 2019). */
export const rmsNorm = (x: Value, weight: Value, epsilon: number): Value =>
  simplifiedLayerNormalization({ x, weight }, { axis: -1, epsilon })[0];

const softmaxOp = defineOp({
  name: "Softmax",
  inputs: ["x"],
  attributes: { axis: "int" },
  infer: sameType,
  vjp: { x: (g, { y }) => mul(y, sub(g, rowSum(mul(g, y)))) },
});
export const softmax = (x: Value): Value => softmaxOp({ x }, { axis: -1 })[0];
