import { gradientsOf } from "../backward.js";
import { add, gather, reshape, scale } from "../ops/index.js";
import type { TapeEntry, Value } from "../graph.js";

/**
 * `block(x)`, whose inner values the backward pass computes again instead of keeping them (Chen et al.
 * 2016; torch.utils.checkpoint): less memory for more time, with the same bits of loss and gradients.
 *
 * The second computation begins from x plus zero times one element of the gradient that arrives. So it
 * can run only once that is there, and ONNX Runtime, which shares equal expressions, does not see that
 * it equals the first.
 */
export function checkpoint(x: Value, block: (x: Value) => Value): Value {
  const { graph } = x;
  const { result, tape } = graph.recordApart(() => block(x));
  if (!result.needsGradient) return result;
  const leaves = leavesOf(tape);
  graph.tape.push({
    inputs: leaves,
    outputs: [result],
    vjp: ([gradient]) => {
      if (!gradient) return [];
      const tied = { ...tie(x, gradient), needsGradient: x.needsGradient };
      const again = graph.recordApart(() => block(tied));
      const gradients = gradientsOf(again.tape, again.result, gradient);
      return leaves.map(({ name }) => gradients.get(name === x.name ? tied.name : name));
    },
  });
  return result;
}

function tie(x: Value, gradient: Value): Value {
  const first = gather(reshape(gradient, ["rest"]), x.graph.literal(BigInt64Array.of(0n), [1]));
  return add(x, scale(first, 0));
}

/** The values with a gradient that the tape takes from outside. */
function leavesOf(tape: readonly TapeEntry[]): Value[] {
  const made = new Set(tape.flatMap(({ outputs }) => outputs.map(({ name }) => name)));
  const leaves = new Map<string, Value>();
  for (const { inputs } of tape) {
    for (const input of inputs) if (input.needsGradient && !made.has(input.name)) leaves.set(input.name, input);
  }
  return [...leaves.values()];
}
