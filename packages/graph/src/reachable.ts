import { Graph, type Node, type Value } from "./graph.js";

/**
 * The nodes that outputs depend on, in order, and the names of all values that these and the outputs read; not what computes
 * values that are `fed`.
 */
export function reachable(
  graph: Graph,
  fed: { has(value: Value): boolean } = new Set<Value>(),
): { nodes: Node[]; used: Set<string> } {
  const used = new Set([...graph.outputs.values()].map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some(({ name }) => used.has(name))) continue;
    nodes.push(node);
    for (const value of readBy(node)) if (!fed.has(value)) used.add(value.name);
  }
  return { nodes: nodes.reverse(), used };
}

/** The inputs of a node, and what a graph inside of it reads. */
export function readBy({ inputs, attributes }: Node): readonly Value[] {
  const inner = Object.values(attributes).flatMap((one) => (one instanceof Graph ? one.nodes.flatMap(readBy) : []));
  return [...inputs, ...inner];
}
