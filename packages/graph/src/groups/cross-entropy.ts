import { add, div, embed, exp, gatherElements, log, mul, reduceSum, reshape, rowMax, sub } from "../ops/index.js";
import type { Value } from "../graph.js";
import { weightProduct } from "./weight-product.js";

/**
 * Sum over n of weights[n] · −log softmax(h[n]·Eᵀ)[targets[n]], in nats, for hidden states h [N, C],
 * head E [V, C], targets [N] int64 and weights [N]; the sum that torch's cross_entropy(reduction="sum")
 * gives where the weights are 0 and 1.
 *
 * The gradient is w·(P·E − E[targets]), so the gradient of the logits [N, V] is never formed; nor is
 * P = e/Z, since Z divides after the product with E, which is V/C times narrower.
 */
export function linearCrossEntropy(h: Value, head: Value, targets: Value, weights: Value): Value {
  const { graph } = h;
  let e: Value;
  let z: Value;
  const forward = () => {
    const logits = weightProduct(h, head, { transB: true });
    const largest = rowMax(logits);
    e = exp(sub(logits, largest));
    z = reduceSum(e, [-1]);
    const ofTargets = gatherElements(logits, reshape(targets, ["rest", 1]));
    const nll = reshape(sub(add(log(z), largest), ofTargets), ["rest"]);
    return reduceSum(mul(nll, weights), [0], false);
  };
  return graph.withGradient([h], forward, (gradient) => {
    const expected = div(weightProduct(e, head), z);
    const weight = reshape(mul(weights, gradient), ["rest", 1]);
    return [mul(sub(expected, embed(head, targets)), weight)];
  });
}
