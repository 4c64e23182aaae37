import { add } from "../ops/index.js";
import type { Value } from "../graph.js";
import { int8Product } from "./int8-product.js";
import { weightProduct, weightProductSum } from "./weight-product.js";

/**
 * How products with a frozen weight are computed: as float32; the gradient's as whole numbers of eight bits; or both as
 * whole numbers, the forward pass's rows as if they had sixteen bits.
 */
export const BASE_PRECISIONS = ["float32", "int8-backward", "int8"] as const;
export type BasePrecision = (typeof BASE_PRECISIONS)[number];

export interface Linear {
  /** [in, out] as in GPT-2's Conv1D, or [out, in] as in torch.nn.Linear; float32 or float16. */
  weight: Value;
  transposed: boolean;
  /** [out]. */
  bias?: Value;
  /** float32 unless given. */
  precision?: BasePrecision;
}

/** x·W + bias for x [N, in]: [N, out]. */
export function linear(x: Value, base: Linear): Value {
  const { weight, transposed, bias, precision = "float32" } = base;
  const forward = () => {
    const options = { transB: transposed };
    if (precision !== "int8")
      return bias ? weightProductSum(x, weight, bias, options) : weightProduct(x, weight, options);
    const y = int8Product(x, weight, { ...options, twice: true });
    return bias ? add(y, bias) : y;
  };
  if (precision === "float32") return forward();
  return x.graph.withGradient([x], forward, (gradient) => [linearGradient(gradient, base)]);
}

/** From the gradient of x·W [N, out] to that of x [N, in], plus `c` [N, in]. */
export function linearGradient(
  gradient: Value,
  { weight, transposed, precision = "float32" }: Linear,
  c?: Value,
): Value {
  const options = { transB: !transposed };
  if (precision === "float32")
    return c ? weightProductSum(gradient, weight, c, options) : weightProduct(gradient, weight, options);
  const product = int8Product(gradient, weight, options);
  return c ? add(product, c) : product;
}
