/**
 * Products with a frozen weight, which may be kept in half precision. On a device that multiplies halves (CUDA) they
 * are computed in float16 as torch.autocast does: operands and result are rounded, sums are float32. Elsewhere the
 * weight is widened where it is used and dropped again, so that only its halves stay in memory.
 */
import { add, cast, gather, gemm, greater, matmul, reshape, reshapeAfter } from "../ops/index.js";
import type { Value } from "../graph.js";

interface Options {
  transB?: boolean;
}

/** x·op(weight) for x [N, K]: [N, M] float32. */
export function weightProduct(x: Value, weight: Value, { transB = false }: Options = {}): Value {
  if (!isHalf(weight)) return matmul(x, weight, { transB });
  return asGroup(x, weight, transB, () => {
    if (!x.graph.halfProducts) return matmul(x, widened(weight, x), { transB });
    return cast(matmul(cast(x, "float16"), weight, { transB }), "float32");
  });
}

/** x·op(weight) + c, c a matrix of the result's shape or a row vector; where the weight is half, no gradient goes to c. */
export function weightProductSum(x: Value, weight: Value, c: Value, { transB = false }: Options = {}): Value {
  if (!isHalf(weight)) return gemm(x, weight, c, { transB });
  return asGroup(x, weight, transB, () => {
    if (!x.graph.halfProducts) return gemm(x, widened(weight, x), c, { transB });
    return add(weightProduct(x, weight, { transB }), c);
  });
}

/** So that the gradient's product has a weight that is widened for it alone. */
function asGroup(x: Value, weight: Value, transB: boolean, forward: () => Value): Value {
  return x.graph.withGradient([x], forward, (gradient) => [weightProduct(gradient, weight, { transB: !transB })]);
}

const isHalf = ({ dtype }: Value) => dtype === "float16";

/**
 * A weight in float32, made when `after` is known and not before: ONNX Runtime widens what is constant once and for all
 * when a session is made, and would share one widened weight between the forward and the backward pass, all of them
 * then in memory at once. What is reshaped to its own shape plus a zero made of `after` is neither, and not a copy.
 */
export function widened(weight: Value, after: Value): Value {
  if (!isHalf(weight)) return weight;
  const { graph } = weight;
  return graph.withoutTape(() => {
    const first = gather(reshape(after, ["rest"]), graph.literal(BigInt64Array.of(0n), [1]));
    // Nothing is greater than itself, even infinity or NaN.
    const zero = cast(greater(first, first), "int64");
    return cast(reshapeAfter(weight, zero), "float32");
  });
}
