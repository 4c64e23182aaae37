import { sameShape, type Shape } from "./dims.js";
import type { TapeEntry, Value } from "./graph.js";
import { add, reduceSum, reshape } from "./ops/index.js";

/**
 * Reverse-mode differentiation: the gradients of a scalar `loss` with respect to `trainables`, as new
 * nodes of the same graph. Walks the tape once, from the end, and only where a gradient arrived and
 * a trainable leads to it. Throws when the loss does not depend on a trainable.
 */
export function backward(loss: Value, trainables: readonly Value[]): Value[] {
  const { graph } = loss;
  if (loss.shape.length !== 0) throw new Error("the loss must be a scalar");
  const gradients = gradientsOf(graph.tape, loss, graph.scalar(1));
  return trainables.map(({ name }) => {
    const gradient = gradients.get(name);
    if (!gradient) throw new Error(`the loss does not depend on ${name}`);
    return gradient;
  });
}

/** From the gradient of `result` to those of all values that the tape takes from outside, by name. */
export function gradientsOf(tape: readonly TapeEntry[], result: Value, gradient: Value): Map<string, Value> {
  const gradients = new Map<string, Value>([[result.name, gradient]]);
  result.graph.withoutTape(() => {
    for (const entry of [...tape].reverse()) {
      const arrived = entry.outputs.map(({ name }) => gradients.get(name));
      if (arrived.every((one) => one === undefined)) continue;
      for (const [i, one] of entry.vjp(arrived).entries()) {
        const input = entry.inputs[i];
        if (!one || !input?.needsGradient) continue;
        const [before, summed] = [gradients.get(input.name), unbroadcast(one, input.shape)];
        gradients.set(input.name, before ? add(before, summed) : summed);
      }
      for (const { name } of entry.outputs) gradients.delete(name);
    }
  });
  return gradients;
}

/** Sums a gradient over the axes along which a value of `shape` was broadcast. */
function unbroadcast(gradient: Value, shape: Shape): Value {
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dim !== 1) ? [axis] : [],
  );
  const summed = axes.length === 0 ? gradient : reshape(reduceSum(gradient, axes), shape);
  if (sameShape(summed.shape, shape)) return summed;
  throw new Error(`a gradient [${gradient.shape.join(", ")}] does not fit its value [${shape.join(", ")}]`);
}
