import { add } from "./functional.js";
import type { TapeEntry, Value } from "./graph.js";

/**
 * Reverse-mode differentiation: the gradients of a scalar `loss` with respect to `trainables`, as new
 * nodes of the same graph. Walks the tape once, from the end, and only where a gradient arrived and
 * a trainable is behind it. Throws when the loss does not depend on a trainable.
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
        const before = gradients.get(input.name);
        gradients.set(input.name, before ? add(before, one) : one);
      }
      for (const { name } of entry.outputs) gradients.delete(name);
    }
  });
  return gradients;
}
