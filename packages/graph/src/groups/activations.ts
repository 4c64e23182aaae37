import { add, erf, exp, geluForward, mul, scale, sigmoid, sub } from "../ops/index.js";
import type { Chunk, Value } from "../graph.js";

interface Differentiated {
  y: Value;
  /** dy/dx. */
  slope: Value;
}

/**
 * Gaussian error linear unit (Hendrycks & Gimpel 2016): x·Φ(x), or its tanh form as torch's
 * gelu(approximate="tanh").
 *
 * Where a gradient is needed the forward pass gives y and the backward pass computes y's slope again from x, both in
 * chunks: these tensors are the widest of a model, and elementwise work on all of one waits for memory. A GPU computes the
 * slope forwards, while x is still in the cache, and keeps it: the backward pass is one product.
 */
export function gelu(x: Value, approximate: "none" | "tanh"): Value {
  if (!x.needsGradient) return geluForward(x, approximate);
  return withSlope(x, () => (approximate === "tanh" ? tanhForm(x) : exactForm(x)));
}

/** Sigmoid linear unit x·σ(x), also called swish (Elfwing et al. 2017), with a slope as gelu's. */
export function silu(x: Value): Value {
  return withSlope(x, () => {
    const s = sigmoid(x);
    const y = mul(x, s);
    return { y, slope: mul(s, add(sub(x, y), x.graph.scalar(1))) };
  });
}

/** y∘x of two [N, C], of which y is an activation's result: computed with it, and again for the gradient instead of kept. */
export function gated(y: Value, x: Value): Value {
  const { graph } = x;
  const multiply = () => graph.inChunks(inCache(x), () => mul(y, x));
  return graph.withGradient([y, x], multiply, (g) =>
    graph.inChunks(inCache(x), () => [
      y.needsGradient ? mul(g, x) : undefined,
      x.needsGradient ? mul(g, graph.again(y)) : undefined,
    ]),
  );
}

function withSlope(x: Value, compute: () => Differentiated): Value {
  const { graph } = x;
  if (!x.needsGradient) return compute().y;
  let slope: Value;
  const forward = () => {
    const result = graph.inChunks(inCache(x), compute);
    slope = result.slope;
    return result.y;
  };
  return graph.withGradient([x], forward, (gradient) => [
    graph.inChunks(inCache(x), () => mul(gradient, graph.again(slope))),
  ]);
}

/** Of rows [N, …, C], as many as fit into a processor's cache several times over. */
function inCache({ shape: [rows = 1, ...rest] }: Value): Chunk {
  const width = rest.reduce<number>((size, dim) => size * Number(dim), 1);
  return { rows, wanted: Math.max(1, Math.round(ELEMENTS_IN_CACHE / width)) };
}

const ELEMENTS_IN_CACHE = 98_304;

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
