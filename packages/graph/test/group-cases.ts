/** Uses of every group, with trainable inputs: for its gradient, and for the device that computes it. */
import {
  add,
  attention,
  checkpoint,
  doraLinear,
  dropout,
  gelu,
  type Graph,
  greater,
  linearCrossEntropy,
  loraLinear,
  matmul,
  mul,
  silu,
  type Value,
} from "@gradpool/graph";
import { frozen, indices, of, type Case } from "./check-gradient.js";

/** Any, since no gradient goes through them. */
const NORMS = Float32Array.of(0.5, 2, 1, 0.8, 1.3);

/** Additive, of three positions. */
function causalMask(graph: Graph): Value {
  const inf = -3.4e38;
  return graph.literal(Float32Array.of(0, inf, inf, 0, 0, inf, 0, 0, 0), [3, 3]);
}

export const GROUP_CASES: Case[] = [
  of("gelu, exact", [[3, 5]], (x) => gelu(x, "none"), [-3, 3]),
  of("gelu, tanh", [[3, 5]], (x) => gelu(x, "tanh"), [-3, 3]),
  of(
    "attention",
    [
      [2, 2, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    (q, k, v) => attention(q, k, v, causalMask(q.graph), 0.5),
  ),
  of(
    "attention, two heads a key",
    [
      [2, 4, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    (q, k, v) => attention(q, k, v, causalMask(q.graph), 0.5),
  ),
  of(
    "attention, three heads a key, with dropout",
    [
      [2, 6, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    (q, k, v) => {
      const keep = greater(frozen(q.graph, [2, 6, 3, 3]), q.graph.scalar(-0.4));
      return attention(q, k, v, causalMask(q.graph), 0.5, { keep, factor: 1 / 0.7 });
    },
  ),
  of("dropout", [[3, 5]], (x) =>
    dropout(x, { keep: greater(frozen(x.graph, [3, 5]), x.graph.scalar(-0.4)), factor: 1 / 0.7 }),
  ),
  of(
    "checkpoint, with a trainable that only the block uses and one that others use too",
    [
      [3, 4],
      [4, 4],
      [3, 4],
    ],
    (x, w, shared) => {
      const block = (y: Value) => add(mul(silu(matmul(y, w)), shared), y);
      return add(checkpoint(checkpoint(x, block), block), shared);
    },
  ),
  of("silu", [[3, 5]], silu, [-3, 3]),
  of("linearCrossEntropy", [[4, 3]], (h) =>
    linearCrossEntropy(
      h,
      frozen(h.graph, [6, 3]),
      indices(h.graph, 5n, 0n, 3n, 3n),
      h.graph.literal(Float32Array.of(1, 1, 0, 1), [4]),
    ),
  ),
  of(
    "loraLinear",
    [
      [4, 3],
      [2, 3],
      [5, 2],
    ],
    (x, a, b) =>
      loraLinear(
        x,
        { weight: frozen(x.graph, [3, 5]), transposed: false, bias: frozen(x.graph, [5]) },
        { a, b, scaling: x.graph.scalar(1.7) },
      ),
  ),
  of(
    "loraLinear, transposed base without bias, with a mask",
    [
      [4, 3],
      [2, 3],
      [5, 2],
    ],
    (x, a, b) => {
      const mask = greater(frozen(x.graph, [4, 3]), x.graph.scalar(0));
      return loraLinear(
        x,
        { weight: frozen(x.graph, [5, 3]), transposed: true },
        { a, b, scaling: x.graph.scalar(0.3), mask },
      );
    },
  ),
  of("doraLinear", [[4, 3], [2, 3], [5, 2], [5]], (x, a, b, magnitude) =>
    doraLinear(
      x,
      { weight: frozen(x.graph, [3, 5]), transposed: false, bias: frozen(x.graph, [5]) },
      { a, b, scaling: x.graph.scalar(1.7), magnitude, squaredNorms: frozen(x.graph, [5]) },
      x.graph.literal(NORMS, [5]),
    ),
  ),
  of("doraLinear, transposed base, with dropout", [[4, 3], [2, 3], [5, 2], [5]], (x, a, b, magnitude) => {
    const keep = greater(frozen(x.graph, [4, 3]), x.graph.scalar(0));
    return doraLinear(
      x,
      { weight: frozen(x.graph, [5, 3]), transposed: true, bias: frozen(x.graph, [5], 3) },
      {
        ...{ a, b, magnitude, scaling: x.graph.scalar(0.3), squaredNorms: frozen(x.graph, [5]) },
        dropout: { keep, factor: x.graph.scalar(1 / 0.7) },
      },
      x.graph.literal(NORMS, [5]),
    );
  }),
];
