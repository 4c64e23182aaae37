import { add, matmul, mul, reduceSum, reshape, softmax, sub } from "../functional.js";
import type { Value } from "../graph.js";

/**
 * Scaled dot-product attention: softmax(scale · q·kᵀ + mask) · v for q [B, H, S, D], k and v [B, K, S, D]
 * and an additive mask [S, S]. Returns o [B, H, S, D]. With K < H (grouped-query attention, Ainslie et
 * al. 2023) H/K neighbouring heads share a key and value: their queries are stacked, so that nothing is
 * repeated in memory and the gradients of k and v add up by themselves.
 *
 * The softmax's gradient is P∘(dP − rowsum(dP∘P)), and rowsum(dP∘P) = rowsum(dO∘O): a sum over D
 * instead of S elements a row (Dao et al. 2022, FlashAttention, section 3.1).
 */
export function attention(q: Value, k: Value, v: Value, mask: Value, scale: number): Value {
  const { graph } = q;
  const [rows, heads, positions, size] = q.shape as [Value["shape"][0], number, Value["shape"][0], number];
  const groups = k.shape[1] as number;
  const shared = heads / groups;
  const stacked = (x: Value) => reshape(x, [rows, groups, "rest", size]);
  const unstacked = (x: Value) => reshape(x, [rows, heads, positions, size]);
  let p: Value;
  let o: Value;
  const stackedQ = stacked(q);
  const forward = () => {
    const scores = matmul(stackedQ, k, { transB: true, alpha: scale });
    const masked = add(reshape(scores, [rows, groups, shared, positions, positions]), mask);
    p = reshape(softmax(masked), [rows, groups, "rest", positions]);
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
