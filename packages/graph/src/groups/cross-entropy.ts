import { add, div, embed, exp, gatherElements, log, mul, reduceSum, reshape, rowMax, sub } from "../ops/index.js";
import { dimOf } from "../dims.js";
import type { Value } from "../graph.js";
import { weightProduct, widened } from "./weight-product.js";

/** Logits at a time, in at least this many rows: nearly as fast a product as with all of them. */
const [LOGITS_AT_ONCE, ROWS_AT_ONCE] = [2 ** 23, 128];

/**
 * Sum over n of weights[n] · −log softmax(h[n]·Eᵀ)[targets[n]], in nats, for hidden states h [N, C],
 * head E [V, C], targets [N] int64 and weights [N]; the sum that torch's cross_entropy(reduction="sum")
 * gives where the weights are 0 and 1.
 *
 * The gradient is w·(P·E − E[targets]), so the gradient of the logits [N, V] is never formed; nor is
 * P = e/Z, since Z divides after the product with E, which is V/C times narrower. It is computed with the loss, chunk
 * by chunk, so that all logits are never there at once.
 */
export function linearCrossEntropy(h: Value, head: Value, targets: Value, weights: Value): Value {
  const { graph } = h;
  let direction: Value | undefined;
  const forward = () => {
    const table = graph.halfProducts ? head : widened(head, h);
    const column = reshape(targets, ["rest", 1]);
    const wanted = Math.max(ROWS_AT_ONCE, Math.round(LOGITS_AT_ONCE / Number(table.shape[0])));
    const nll = graph.inChunks({ rows: dimOf(h.shape, 0), wanted }, () => {
      const logits = weightProduct(h, table, { transB: true });
      const largest = rowMax(logits);
      const e = exp(sub(logits, largest));
      const z = reduceSum(e, [-1]);
      if (h.needsGradient) direction = sub(div(weightProduct(e, table), z), embed(head, targets));
      return sub(add(log(z), largest), gatherElements(logits, column));
    });
    return reduceSum(mul(reshape(nll, ["rest"]), weights), [0], false);
  };
  return graph.withGradient([h], forward, (gradient) => {
    const weight = reshape(mul(weights, gradient), ["rest", 1]);
    return [direction && mul(direction, weight)];
  });
}
