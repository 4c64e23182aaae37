import { add, concat, matmul, reshape, softmax, splitInto } from "../ops/index.js";
import type { Value } from "../graph.js";

/** The mask of a graph that continues where earlier runs ended, P positions before these: [S, P + S]. */
export interface CachedMask extends Value {
  /** Keeps keys and values [B, K, S, D] for later runs, and gives those of the P positions before: [B, K, P, D]. */
  remember(k: Value, v: Value): [Value, Value];
}

/**
 * Attention of these positions to the cached ones and to each other, without gradients: as `attention`,
 * but q·kᵀ and p·v are products with what is cached and with what is new, each in place. Joining the two
 * would copy the whole cache for every token.
 */
export function cachedAttention(q: Value, k: Value, v: Value, mask: CachedMask, scale: number): Value {
  const [rows, heads, positions, size] = q.shape as [Value["shape"][0], number, Value["shape"][0], number];
  const [pastK, pastV] = mask.remember(k, v);
  const [, groups, past] = pastK.shape as [Value["shape"][0], number, Value["shape"][0]];
  const length = mask.shape.at(-1) as Value["shape"][0];
  const stackedQ = reshape(q, [rows, groups, "rest", size]);
  const scoresOf = (keys: Value) => matmul(stackedQ, keys, { transB: true, alpha: scale });
  const scores = reshape(concat(scoresOf(pastK), scoresOf(k), 3), [rows, groups, heads / groups, positions, length]);
  const p = reshape(softmax(add(scores, mask)), [rows, groups, "rest", length]);
  const [pPast, pNew] = splitInto(p, [past, positions], 3) as [Value, Value];
  return reshape(add(matmul(pPast, pastV), matmul(pNew, v)), [rows, heads, positions, size]);
}
