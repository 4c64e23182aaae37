import { add, cast, matmul, mul, reduceSum, reshape, softmax, sub, transpose } from "../ops/index.js";
import type { Value } from "../graph.js";
import { cachedAttention, type CachedMask } from "./cached-attention.js";
import type { DropoutMask } from "./dropout.js";

/**
 * Scaled dot-product attention: dropout(softmax(scale · q·kᵀ + mask)) · v for q [B, H, S, D], k and v
 * [B, K, S, D], an additive mask [S, S] or [B, 1, 1, S, S], or a caching one (`cachedAttention`), and, where
 * attention is dropped, a mask [B, H, S, S] of what stays. Returns o [B, S, H, D]. With K < H (grouped-query attention, Ainslie et
 * al. 2023) H/K neighbouring heads share a key and value: their queries are stacked, so that nothing is
 * repeated in memory and the gradients of k and v add up by themselves.
 *
 * The softmax's gradient is P∘(dP − rowsum(dP∘P)), and rowsum(dP∘P) = rowsum(dO∘O): a sum over D
 * instead of S elements a row (Dao et al. 2022, FlashAttention, section 3.1), which dropout leaves true:
 * the mask is in dP as in O. The kept elements' factor is folded into the matrix products.
 *
 * In chunks of one row of the batch: a processor has the probabilities [H, S, S] of one row at a time, and computes them
 * again for the gradient (as FlashAttention does, section 3.2) instead of keeping those of all rows and layers. Of o only what
 * it returns is kept, which the next layer keeps, too.
 */
export function attention(
  q: Value,
  k: Value,
  v: Value,
  mask: Value | CachedMask,
  scale: number,
  dropout?: DropoutMask,
): Value {
  const { graph } = q;
  if ("remember" in mask) return positionsFirst(cachedAttention(q, k, v, mask, scale));
  const [rows, heads, positions] = q.shape as [Value["shape"][0], number, Value["shape"][0]];
  const [, groups, length] = k.shape as [Value["shape"][0], number, Value["shape"][0]];
  const shared = heads / groups;
  const stacked = (x: Value) => reshape(x, [rows, groups, "rest", x.shape.at(-1) as Value["shape"][0]]);
  const alpha = dropout?.factor ?? 1;
  const masked = (x: Value) => (dropout ? mul(x, cast(stacked(dropout.keep), x.dtype)) : x);
  let p: Value;
  let kept: Value;
  let o: Value;
  const stackedQ = stacked(q);
  const byRow = { rows, wanted: 1 };
  const attend = () => {
    const scores = matmul(stackedQ, k, { transB: true, alpha: scale });
    const causal = add(reshape(scores, [rows, groups, shared, positions, length]), mask);
    p = reshape(softmax(causal), [rows, groups, "rest", length]);
    kept = masked(p);
    o = positionsFirst(reshape(matmul(kept, v, { alpha }), q.shape));
    return o;
  };
  const gradients = (dOutput: Value) => {
    const dO = stacked(positionsFirst(dOutput));
    const dP = masked(matmul(dO, v, { transB: true, alpha }));
    const dScores = mul(graph.again(p), sub(dP, stacked(positionsFirst(reduceSum(mul(dOutput, o), [-1])))));
    return [
      matmul(dScores, k, { alpha: scale }),
      matmul(dScores, stackedQ, { transA: true, alpha: scale }),
      matmul(graph.again(kept), dO, { transA: true, alpha }),
    ];
  };
  return graph.withGradient(
    [stackedQ, k, v],
    () => graph.inChunks(byRow, attend),
    (dO) => graph.inChunks(byRow, () => gradients(dO)),
  );
}

/** Heads [B, H, S, D] as [B, S, H, D], and the other way round. */
const positionsFirst = (x: Value): Value => transpose(x, [0, 2, 1, 3]);
