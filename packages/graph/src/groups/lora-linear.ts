import { cast, gemm, matmul, mul } from "../ops/index.js";
import type { Value } from "../graph.js";
import { linear, linearGradient, type Linear } from "./linear.js";

export interface LoraBranch {
  /** [r, in]. */
  a: Value;
  /** [out, r]. */
  b: Value;
  /** alpha / r, or alpha / sqrt(r). */
  scaling: Value;
  /** bool [N, in]: false drops an element of x; undefined without dropout. */
  mask?: Value;
}

/**
 * x·W + bias + scaling · (x∘mask)·Aᵀ·Bᵀ for x [N, in]: [N, out] (Hu et al. 2021; peft's lora.Linear).
 *
 * As a group, so that both additions, forwards y and backwards dx, are part of a matrix product.
 */
export function loraLinear(x: Value, base: Linear, { a, b, scaling, mask }: LoraBranch): Value {
  const { graph } = x;
  let kept: Value;
  let z: Value;
  const forward = () => {
    kept = mask ? mul(x, cast(mask, x.dtype)) : x;
    z = mul(matmul(kept, a, { transB: true }), scaling);
    return gemm(z, b, linear(x, base), { transB: true });
  };
  return graph.withGradient([x, a, b], forward, (dY) => {
    const dZ = mul(matmul(dY, b), scaling);
    const dA = matmul(dZ, graph.againAfter(kept, dZ), { transA: true });
    const dB = matmul(dY, z, { transA: true });
    if (!x.needsGradient) return [undefined, dA, dB];
    const through = matmul(dZ, a);
    const dropped = mask ? mul(through, cast(mask, through.dtype)) : through;
    return [linearGradient(dY, base, dropped), dA, dB];
  });
}
