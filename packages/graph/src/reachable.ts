import { Graph, type Node, type Value } from "./graph.js";

/** The nodes that outputs depend on, in order, and the names of all values that these and the outputs read. */
export function reachable(graph: Graph): { nodes: Node[]; used: Set<string> } {
  const used = new Set([...graph.outputs.values()].map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some(({ name }) => used.has(name))) continue;
    nodes.push(node);
    for (const { name } of readBy(node)) used.add(name);
  }
  return { nodes: nodes.reverse(), used };
}

/** The inputs of a node, and what a graph inside of it reads. */
function readBy({ inputs, attributes }: Node): readonly Value[] {
  const inner = Object.values(attributes).flatMap((one) => (one instanceof Graph ? one.nodes.flatMap(readBy) : []));
  return [...inputs, ...inner];
}
