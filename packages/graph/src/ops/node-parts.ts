import type { Node, Value } from "../graph.js";

/** The i-th input; a rule asks only for inputs that its op has. */
export function input<T>(inputs: readonly T[], index: number): T {
  const value = inputs[index];
  if (value === undefined) throw new Error(`input ${index} is missing`);
  return value;
}

export function output(node: Node, index = 0): Value {
  return input(node.outputs, index);
}

/** The gradient of the op's only differentiable output. */
export function outputGradient(gradients: readonly (Value | undefined)[]): Value {
  return input(gradients, 0) as Value;
}
