import { add, matmul, mul, reduceSum, softmax, sub } from "../functional.js";
import type { Value } from "../graph.js";

/**
 * Scaled dot-product attention: softmax(scale · q·kᵀ + mask) · v for q, k, v [B, H, S, D] and an
 * additive mask [S, S]. Returns o [B, H, S, D].
 *
 * The softmax's gradient is P∘(dP − rowsum(dP∘P)), and rowsum(dP∘P) = rowsum(dO∘O): a sum over D
 * instead of S elements a row (Dao et al. 2022, FlashAttention, section 3.1).
 */
export function attention(q: Value, k: Value, v: Value, mask: Value, scale: number): Value {
  const { graph } = q;
  let p: Value;
  let o: Value;
  const forward = () => {
    p = softmax(add(matmul(q, k, { transB: true, alpha: scale }), mask));
    o = matmul(p, v);
    return o;
  };
  return graph.withGradient([q, k, v], forward, (dO) => {
    const dP = matmul(dO, v, { transB: true });
    const dScores = mul(p, sub(dP, reduceSum(mul(dO, o), [-1])));
    return [
      matmul(dScores, k, { alpha: scale }),
      matmul(dScores, q, { transA: true, alpha: scale }),
      matmul(p, dO, { transA: true }),
    ];
  });
}
