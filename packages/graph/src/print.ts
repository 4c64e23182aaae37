import type { Graph, TensorType } from "./graph.js";

const typeText = ({ dtype, shape }: TensorType) => `${dtype}[${shape.join(", ")}]`;

/** The graph as text, one value or node a line: for people and for diffs. */
export function print(graph: Graph): string {
  const lines = graph.inputs.map((value) => `input ${value.name}: ${typeText(value)}`);
  for (const value of graph.weights.keys()) lines.push(`weight ${value.name}: ${typeText(value)}`);
  for (const [value, data] of graph.literals) lines.push(`${value.name}: ${typeText(value)} = ${data.join(", ")}`);
  for (const { op, inputs, attributes, outputs } of graph.nodes) {
    const details = Object.entries(attributes).map(([name, value]) => `${name}=${String(value)}`);
    const operands = [...inputs.map(({ name }) => name), ...details].join(", ");
    lines.push(`${outputs.map((value) => `${value.name}: ${typeText(value)}`).join(", ")} = ${op.name}(${operands})`);
  }
  for (const [name, value] of graph.outputs) lines.push(`output ${name} = ${value.name}`);
  return lines.join("\n");
}
