import { sameShape } from "./dims.js";
import type { Graph, Value } from "./graph.js";

/**
 * Derives every type once more and checks that each value is defined exactly once and before its use.
 * A failure is a bug in a model or a rule, so it throws a plain error.
 */
export function verify(graph: Graph): void {
  const defined = new Set<string>();
  const define = (value: Value) => {
    if (defined.has(value.name)) throw new Error(`${value.name} is defined twice`);
    defined.add(value.name);
  };
  for (const value of [...graph.inputs, ...graph.weights.keys(), ...graph.literals.keys()]) define(value);
  for (const { op, inputs, attributes, outputs } of graph.nodes) {
    for (const { name } of inputs)
      if (!defined.has(name)) throw new Error(`${op.name} uses ${name} before it is defined`);
    const types = op.infer(inputs, attributes);
    for (const name of Object.keys(attributes)) {
      if (!(name in op.attributes)) throw new Error(`${op.name} has no attribute ${name}`);
    }
    for (const [i, output] of outputs.entries()) {
      const type = types[i];
      if (type?.dtype !== output.dtype || !sameShape(type.shape, output.shape)) {
        throw new Error(`${output.name} is not of the type that ${op.name} gives`);
      }
      define(output);
    }
  }
  for (const [name, value] of graph.outputs) {
    if (!defined.has(value.name)) throw new Error(`output ${name} is not defined`);
  }
}
