import { add } from "./functional.js";
import type { Value } from "./graph.js";

/**
 * Reverse-mode differentiation: the gradients of a scalar `loss` with respect to `trainables`, as new
 * nodes of the same graph. Walks the tape once, from the end, and only where a gradient arrived and
 * a trainable is behind it. Throws when the loss does not depend on a trainable.
 */
export function backward(loss: Value, trainables: readonly Value[]): Value[] {
  const { graph } = loss;
  if (loss.shape.length !== 0) throw new Error("the loss must be a scalar");
  const gradients = new Map<string, Value>([[loss.name, graph.scalar(1)]]);
  graph.withoutTape(() => {
    for (const entry of [...graph.tape].reverse()) {
      const arrived = entry.outputs.map(({ name }) => gradients.get(name));
      if (arrived.every((gradient) => gradient === undefined)) continue;
      for (const [i, gradient] of entry.vjp(arrived).entries()) {
        const input = entry.inputs[i];
        if (!gradient || !input?.needsGradient) continue;
        const before = gradients.get(input.name);
        gradients.set(input.name, before ? add(before, gradient) : gradient);
      }
      for (const { name } of entry.outputs) gradients.delete(name);
    }
  });
  return trainables.map(({ name }) => {
    const gradient = gradients.get(name);
    if (!gradient) throw new Error(`the loss does not depend on ${name}`);
    return gradient;
  });
}
