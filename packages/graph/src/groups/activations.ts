import { add, erf, exp, geluForward, mul, scale, sigmoid, sub } from "../ops/index.js";
import type { Value } from "../graph.js";

interface Differentiated {
  y: Value;
  /** dy/dx. */
  slope: Value;
}

/**
 * Gaussian error linear unit (Hendrycks & Gimpel 2016): x·Φ(x), or its tanh form as torch's
 * gelu(approximate="tanh").
 *
 * Where a gradient is needed the slope is computed forwards, while x is still in the cache, and the
 * backward pass is one product. These tensors are the widest of a model, and elementwise work on
 * them is bound by memory.
 */
export function gelu(x: Value, approximate: "none" | "tanh"): Value {
  if (!x.needsGradient) return geluForward(x, approximate);
  return withSlope(x, () => (approximate === "tanh" ? tanhForm(x) : exactForm(x)));
}

/** Sigmoid linear unit x·σ(x), also called swish (Elfwing et al. 2017), its slope computed forwards too. */
export function silu(x: Value): Value {
  return withSlope(x, () => {
    const s = sigmoid(x);
    const y = mul(x, s);
    return { y, slope: mul(s, add(sub(x, y), x.graph.scalar(1))) };
  });
}

function withSlope(x: Value, compute: () => Differentiated): Value {
  let slope: Value;
  const forward = () => {
    const result = compute();
    slope = result.slope;
    return result.y;
  };
  return x.graph.withGradient([x], forward, (gradient) => [mul(gradient, slope)]);
}

/**
 * With s = σ(2u), u = √(2/π)·(x + 0.044715 x³): y = x·s, and since x·s·(1 − s) = s·(x − y) the slope
 * is s·(1 + 2u'·(x − y)).
 */
function tanhForm(x: Value): Differentiated {
  const k = 2 * Math.sqrt(2 / Math.PI);
  const one = x.graph.scalar(1);
  const linear = x.graph.scalar(k);
  const square = mul(x, x);
  const s = sigmoid(mul(x, add(scale(square, k * 0.044715), linear)));
  const y = mul(x, s);
  const inner = add(scale(square, 3 * k * 0.044715), linear);
  return { y, slope: mul(s, add(mul(inner, sub(x, y)), one)) };
}

/** y = x·Φ(x), slope Φ(x) + x·φ(x). */
function exactForm(x: Value): Differentiated {
  const cumulative = scale(add(erf(scale(x, Math.SQRT1_2)), x.graph.scalar(1)), 0.5);
  const density = scale(exp(scale(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return { y: mul(x, cumulative), slope: add(cumulative, mul(x, density)) };
}
