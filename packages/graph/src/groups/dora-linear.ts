import { add, cast, div, gemm, matmul, mul, reduceSum, scale, sqrt, sub } from "../ops/index.js";
import type { Value } from "../graph.js";
import { linear, linearGradient, type Linear } from "./linear.js";

/** LoRA whose sum with the base's weights W + s·B·A is a direction only: each output has a magnitude besides. */
export interface DoraBranch {
  /** [r, in]. */
  a: Value;
  /** [out, r]. */
  b: Value;
  /** s: alpha / r, or alpha / sqrt(r). */
  scaling: Value;
  /** [out]. */
  magnitude: Value;
  /** ‖W_o‖² of the base's weights, per output [out]. */
  squaredNorms: Value;
  /** bool [N, in], false drops an element of x, and the factor of the others, a scalar; undefined without dropout. */
  dropout?: { keep: Value; factor: Value };
}

/**
 * ‖W_o + s·B_o·A‖ per output o [out], as a constant: no gradient goes through it (Liu et al. 2024, "DoRA", section
 * 4.3; peft's DoraLinearLayer). From ‖W‖² + s·B·(2·W·Aᵀ + s·B·A·Aᵀ)ᵀ, so that no second W is made.
 */
export function doraNorms({ weight, transposed }: Linear, { a, b, scaling, squaredNorms }: DoraBranch): Value {
  return weight.graph.withoutTape(() => {
    const scaledB = mul(b, scaling);
    const product = matmul(weight, cast(a, weight.dtype), { transA: !transposed, transB: true });
    const withBase = scale(cast(product, "float32"), 2);
    const changes = add(withBase, matmul(scaledB, matmul(a, a, { transB: true })));
    return sqrt(add(squaredNorms, reduceSum(mul(scaledB, changes), [1], false)));
  });
}

/**
 * bias + (magnitude / norms)∘(x·W + s·x·Aᵀ·Bᵀ) for x [N, in], of which dropout leaves x': [N, out]. As in PEFT the
 * base itself sees all of x: x·W + bias + (magnitude / norms − 1)∘x'·W + (magnitude / norms)∘s·x'·Aᵀ·Bᵀ, here
 * written as (x − x')·W + bias + (magnitude / norms)∘(x'·W + s·x'·Aᵀ·Bᵀ).
 *
 * `norms` [out]: those of doraNorms.
 */
export function doraLinear(x: Value, base: Linear, branch: DoraBranch, norms: Value): Value {
  const { a, b, scaling, magnitude, dropout } = branch;
  const { bias, ...unbiased } = base;
  const factors = div(magnitude, norms);
  let growth: Value;
  let kept = x;
  let z: Value;
  let adapted: Value;
  const forward = () => {
    if (dropout) {
      growth = mul(cast(dropout.keep, x.dtype), dropout.factor);
      kept = mul(x, growth);
    }
    z = mul(matmul(kept, a, { transB: true }), scaling);
    adapted = gemm(z, b, linear(kept, unbiased), { transB: true });
    const y = mul(adapted, factors);
    if (dropout) return add(y, linear(sub(x, kept), base));
    return bias ? add(y, bias) : y;
  };
  return x.graph.withGradient([x, a, b, magnitude], forward, (dY) => {
    const dAdapted = mul(dY, factors);
    const dZ = mul(matmul(dAdapted, b), scaling);
    const dA = matmul(dZ, kept, { transA: true });
    const dB = matmul(dAdapted, z, { transA: true });
    const dMagnitude = div(reduceSum(mul(dY, adapted), [0], false), norms);
    if (!x.needsGradient) return [undefined, dA, dB, dMagnitude];
    const through = matmul(dZ, a);
    if (!dropout) return [linearGradient(dAdapted, base, through), dA, dB, dMagnitude];
    const dKept = linearGradient(sub(dAdapted, dY), base, through);
    return [add(mul(dKept, growth), linearGradient(dY, base)), dA, dB, dMagnitude];
  });
}
