import { exp, gather, gatherElements, logSoftmax, matmul, mul, reduceSum, reshape, scale, sub } from "../functional.js";
import type { Value } from "../graph.js";

/**
 * Sum over n of weights[n] · −log softmax(h[n]·Eᵀ)[targets[n]], in nats, for hidden states h [N, C],
 * head E [V, C], targets [N] int64 and weights [N]; the sum that torch's cross_entropy(reduction="sum")
 * gives where the weights are 0 and 1.
 *
 * The gradient is w·(P·E − E[targets]), so the gradient of the logits [N, V] is never formed.
 */
export function linearCrossEntropy(h: Value, head: Value, targets: Value, weights: Value): Value {
  const { graph } = h;
  let logProbabilities: Value;
  const forward = () => {
    logProbabilities = logSoftmax(matmul(h, head, { transB: true }));
    const ofTargets = gatherElements(logProbabilities, reshape(targets, ["rest", 1]));
    return scale(reduceSum(mul(reshape(ofTargets, ["rest"]), weights), [0], false), -1);
  };
  return graph.withGradient([h], forward, (gradient) => {
    const expected = matmul(exp(logProbabilities), head);
    const weight = reshape(mul(weights, gradient), ["rest", 1]);
    return [mul(sub(expected, gather(head, targets)), weight)];
  });
}
