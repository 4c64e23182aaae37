import { add, matmul, mul, reduceSum, reshape, softmax, sub } from "../functional.js";
import type { Value } from "../graph.js";

/** The mask of a graph that goes on where earlier runs ended, P positions before these: [S, P + S]. */
export interface CachedMask extends Value {
  /** Keys and values [B, K, S, D] behind those of the earlier positions: [B, K, P + S, D]. */
  remember(k: Value, v: Value): [Value, Value];
}

/**
 * Scaled dot-product attention: softmax(scale · q·kᵀ + mask) · v for q [B, H, S, D], k and v [B, K, S, D]
 * and an additive mask [S, S], or one that remembers. Returns o [B, H, S, D]. With K < H (grouped-query attention, Ainslie et
 * al. 2023) H/K neighbouring heads share a key and value: their queries are stacked, so that nothing is
 * repeated in memory and the gradients of k and v add up by themselves.
 *
 * The softmax's gradient is P∘(dP − rowsum(dP∘P)), and rowsum(dP∘P) = rowsum(dO∘O): a sum over D
 * instead of S elements a row (Dao et al. 2022, FlashAttention, section 3.1).
 */
export function attention(q: Value, newK: Value, newV: Value, mask: Value | CachedMask, scale: number): Value {
  const { graph } = q;
  const [k, v] = "remember" in mask ? mask.remember(newK, newV) : [newK, newV];
  const [rows, heads, positions, size] = q.shape as [Value["shape"][0], number, Value["shape"][0], number];
  const [, groups, length] = k.shape as [Value["shape"][0], number, Value["shape"][0]];
  const shared = heads / groups;
  const stacked = (x: Value) => reshape(x, [rows, groups, "rest", size]);
  const unstacked = (x: Value) => reshape(x, [rows, heads, positions, size]);
  let p: Value;
  let o: Value;
  const stackedQ = stacked(q);
  const forward = () => {
    const scores = matmul(stackedQ, k, { transB: true, alpha: scale });
    const masked = add(reshape(scores, [rows, groups, shared, positions, length]), mask);
    p = reshape(softmax(masked), [rows, groups, "rest", length]);
    o = matmul(p, v);
    return o;
  };
  const output = graph.withGradient([stackedQ, k, v], forward, (dO) => {
    const dP = matmul(dO, v, { transB: true });
    const dScores = mul(p, sub(dP, reduceSum(mul(dO, o), [-1])));
    return [
      matmul(dScores, k, { alpha: scale }),
      matmul(dScores, stackedQ, { transA: true, alpha: scale }),
      matmul(p, dO, { transA: true }),
    ];
  });
  return unstacked(output);
}
