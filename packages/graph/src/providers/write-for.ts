/**
 * Writes a graph for an execution provider of ONNX Runtime. Models and gradients are built from the table of ops alone;
 * what a provider computes in another way is in its file beside this one, and nowhere else.
 */
import { Graph, type Node, type Value } from "../graph.js";
import { reachable } from "../reachable.js";
import { verify } from "../verify.js";
import type { Provider, Rule } from "./provider.js";
import { inScans } from "./cpu.js";
import { webgpu } from "./webgpu.js";

/** The processor and CUDA have every op as the table has it; a processor computes chunks one after the other. */
const PROVIDERS = { cpu: undefined, cuda: undefined, webgpu };
export type ProviderName = keyof typeof PROVIDERS;

export interface WrittenGraph {
  graph: Graph;
  /** Run on the processor first: its outputs are inputs of the graph, by name. Undefined where there is nothing to do. */
  before?: Graph;
}

/**
 * The graph as a provider computes it, with the same inputs and outputs. It is not differentiable: gradients are in it
 * already. Throws when the processor's part depends on weights.
 */
export function writeFor(name: ProviderName, graph: Graph): WrittenGraph {
  if (name === "cpu") return { graph: inScans(graph) };
  const provider = PROVIDERS[name];
  if (!provider) return { graph };
  // What computes late shapes is left out: those are fed.
  const { nodes } = reachable(graph, graph.lateShapes);
  const early = nodesBefore(graph, nodes, provider);
  const [before, device] = [new Copy(graph), new Copy(graph)];
  for (const node of nodes) {
    if (early.has(node)) before.add(node);
    else device.add(node, provider.rules[node.op.name]);
  }
  for (const [output, value] of graph.outputs) device.graph.output(output, device.of(value));
  for (const { value, input } of device.crossing) before.graph.output(input.name, before.of(value));
  verify(device.graph);
  return device.crossing.length > 0 ? { graph: device.graph, before: before.graph } : { graph: device.graph };
}

/** The nodes for the processor and what they depend on. */
function nodesBefore(graph: Graph, nodes: readonly Node[], { isForProcessor }: Provider): ReadonlySet<Node> {
  const early = new Set<Node>();
  const needed = new Set<string>();
  for (const node of [...nodes].reverse()) {
    if (!isForProcessor(node) && !node.outputs.some(({ name }) => needed.has(name))) continue;
    early.add(node);
    for (const input of node.inputs) {
      if (graph.weights.has(input)) throw new Error(`${node.op.name}, which is for the processor, reads ${input.name}`);
      needed.add(input.name);
    }
  }
  return early;
}

/** A part of a graph, node by node, in a graph of its own. */
class Copy {
  readonly graph: Graph;
  /** What the part takes from another, and the inputs for it. */
  readonly crossing: { value: Value; input: Value }[] = [];
  /** By name, since a group's output is a value of its own under its last node's name. */
  readonly #copies = new Map<string, Value | undefined>();
  readonly #source: Graph;

  constructor(source: Graph) {
    this.#source = source;
    this.graph = new Graph(source.halfProducts);
    for (const input of source.inputs) {
      const copy = this.graph.input(input.name, input.dtype, input.shape);
      const dims = source.shapeInputs.get(input);
      if (dims) this.graph.shapeInputs.set(copy, dims);
      this.#copies.set(input.name, copy);
    }
  }

  of(value: Value): Value {
    if (!this.#copies.has(value.name)) this.#copies.set(value.name, this.#taken(value));
    const copy = this.#copies.get(value.name);
    if (!copy) throw new Error(`${value.name} is used, but not written for this provider`);
    return copy;
  }

  add(node: Node, rule: Rule = asItIs): void {
    const outputs = rule(
      node.inputs.map((input) => this.of(input)),
      node,
    );
    for (const [i, output] of node.outputs.entries()) this.#copies.set(output.name, outputs[i]);
  }

  #taken(value: Value): Value {
    const [slice, literal] = [this.#source.weights.get(value), this.#source.literals.get(value)];
    if (slice) return this.graph.weight(value.name, value.dtype, value.shape, slice);
    if (literal) return this.graph.literal(literal, value.shape.map(Number));
    const dims = this.#source.lateShapes.get(value);
    if (dims) {
      // One for each use: what is widened for the forward pass is not kept for the backward pass.
      const shape = this.graph.input(`late.${value.name}`, value.dtype, value.shape);
      this.graph.shapeInputs.set(shape, dims);
      return shape;
    }
    const input = this.graph.input(`before.${value.name}`, value.dtype, value.shape);
    this.crossing.push({ value, input });
    return input;
  }
}

const asItIs: Rule = (inputs, { op, attributes }) => (inputs[0] as Value).graph.apply(op, inputs, attributes);
