/**
 * How a processor computes chunks (`Graph.inChunks`): a Scan over some rows at a time. What its nodes pass on to each other
 * then stays in the cache and is as small as a chunk; what others read is put together. Each row has the same bits as
 * without chunks.
 */
import { chunksOf, type Dim, type Shape } from "../dims.js";
import { Graph, type Chunk, type Node, type Op, type Value } from "../graph.js";
import { reachable } from "../reachable.js";

/** Applies `body` to slices along the first axis of all inputs. */
const SCAN: Op = {
  name: "Scan",
  domain: "",
  attributes: { body: "graph", num_scan_inputs: "int" },
  infer: () => {
    throw new Error("a Scan's outputs are known from its body");
  },
  vjp: [],
};

/** Reshape between rows and chunks of them, whose numbers are known when the graph runs. */
const RESHAPE: Op = {
  name: "Reshape",
  domain: "",
  attributes: {},
  infer: ([x, shape]) => [{ dtype: x!.dtype, shape: x!.graph.dimsOf(shape!) }],
  vjp: [null, null],
};

/** Rows of a table that is worth it, and that gives no thread so few logits that MLAS would add up in another order. */
const LARGE_TABLE = 16_384;

/** The graph with each chunk's nodes in one node: itself if it has none. */
export function inScans(graph: Graph): Graph {
  const { nodes: known } = reachable(graph);
  if (!known.some(({ chunk }) => chunk)) return graph;
  const written = new Graph(graph.halfProducts, graph.unsignedWeights);
  written.inputs.push(...graph.inputs);
  for (const name of ["weights", "literals", "shapeInputs", "lateShapes", "outputs"] as const)
    for (const [key, value] of graph[name]) (written[name] as Map<unknown, unknown>).set(key, value);
  const nodes = withMappedTables(written, known);
  for (const group of grouped(nodes)) {
    if (group[0]?.chunk) new Scan(written, group, readOutside(graph, nodes, group)).write();
    else written.nodes.push(...group);
  }
  return written;
}

/**
 * A training graph takes rows from its head's table and multiplies with it in both directions. ONNX Runtime would pack a copy for
 * each product and keep the mapped table for the rows. So the table is there under a second name, which is not packed: rows and
 * logits read that, and only the way back has a packed copy. Without checkpointing or with it, so both have the same bits.
 */
function withMappedTables(graph: Graph, nodes: readonly Node[]): Node[] {
  const readers = ({ name }: Value) => nodes.filter(({ inputs }) => inputs.some((input) => input.name === name));
  const count = (table: Value, op: string) => readers(table).filter((node) => node.op.name === op).length;
  const mapped = new Map<string, Value>();
  for (const [table, slice] of [...graph.weights]) {
    if (Number(table.shape[0]) < LARGE_TABLE || count(table, "Gather") < 1 || count(table, "FusedMatMul") < 2) continue;
    const twin = graph.weight(`${table.name}/mapped`, table.dtype, table.shape, slice);
    graph.unpacked.add(twin);
    mapped.set(table.name, twin);
  }
  return nodes.map((node) => {
    const readsMapped = node.op.name === "Gather" || node.attributes["transB"] === true;
    return readsMapped ? { ...node, inputs: node.inputs.map((input) => mapped.get(input.name) ?? input) } : node;
  });
}

/** Runs of nodes of one chunk, or of chunks that follow each other and fit together; other nodes one by one. */
function grouped(nodes: readonly Node[]): Node[][] {
  const groups: Node[][] = [];
  let last: Chunk | undefined;
  for (const node of nodes) {
    const { chunk } = node;
    const fits = chunk && last && chunk.rows === last.rows && chunk.wanted === last.wanted;
    if (fits) groups.at(-1)?.push(node);
    else groups.push([node]);
    last = chunk;
  }
  return groups;
}

/** Names of the values that others than the group read. */
function readOutside(graph: Graph, nodes: readonly Node[], group: readonly Node[]): ReadonlySet<string> {
  const inside = new Set(group);
  const readers = nodes.filter((node) => !inside.has(node)).flatMap(({ inputs }) => inputs);
  return new Set([...readers, ...graph.outputs.values()].map(({ name }) => name));
}

class Scan {
  readonly #body = new Graph();
  /** Values of the body, by the names that they have outside. */
  readonly #inner = new Map<string, Value>();
  readonly #scanned: Value[] = [];
  readonly #rows: Dim;
  readonly #chunk: { chunks: Dim; rows: Dim };

  constructor(
    private readonly graph: Graph,
    private readonly nodes: readonly Node[],
    private readonly readOutside: ReadonlySet<string>,
  ) {
    const { rows, wanted } = nodes[0]?.chunk as Chunk;
    this.#rows = rows;
    this.#chunk = chunksOf(rows, wanted);
  }

  write(): void {
    for (const { chunk } of this.nodes) if (chunk?.after) this.#input(chunk.after);
    for (const node of this.nodes) this.#add(node);
    const results = this.nodes.flatMap(({ outputs }) => outputs.filter(({ name }) => this.readOutside.has(name)));
    const outputs = results.map((value) => {
      const inner = this.#inner.get(value.name) as Value;
      this.#body.output(inner.name, inner);
      return { ...inner, name: `chunks/${value.name}`, shape: [this.#chunk.chunks, ...inner.shape] };
    });
    const attributes = { body: this.#body, num_scan_inputs: this.#scanned.length };
    this.graph.nodes.push({ op: SCAN, inputs: this.#scanned, attributes, outputs });
    for (const [i, value] of results.entries()) this.#reshape(outputs[i] as Value, value, value.shape);
  }

  #add({ op, inputs, attributes, outputs }: Node): void {
    const inner = outputs.map((value) => this.#innerOf(value));
    const [first, ...rest] = inputs.map((input) => this.#input(input)) as [Value, ...Value[]];
    // These take the shape of their result.
    const others = op.name === "Reshape" || op.name === "Expand" ? [this.graph.shapeVector(inner[0]!.shape)] : rest;
    this.#body.nodes.push({ op, inputs: [first, ...others], attributes, outputs: inner });
    for (const [i, value] of outputs.entries()) this.#inner.set(value.name, inner[i] as Value);
  }

  /** What a node reads: of the chunk, a slice of rows, or as it is. */
  #input(value: Value): Value {
    const known = this.#inner.get(value.name);
    if (known) return known;
    if (value.shape[0] !== this.#rows || this.graph.weights.has(value) || this.graph.literals.has(value)) return value;
    const inner = this.#innerOf(value);
    this.#body.inputs.push(inner);
    this.#inner.set(value.name, inner);
    const { chunks, rows } = this.#chunk;
    const name = `chunks${this.graph.nodes.length}/${value.name}`;
    const slices = { ...value, name, shape: [chunks, rows, ...value.shape.slice(1)] };
    this.#reshape(value, slices, slices.shape);
    this.#scanned.push(slices);
    return inner;
  }

  #innerOf(value: Value): Value {
    if (value.shape[0] !== this.#rows) throw new Error(`${value.name} is not of the rows of its chunk`);
    const shape = [this.#chunk.rows, ...value.shape.slice(1)];
    return { ...value, graph: this.#body, name: `chunk${this.graph.nodes.length}/${value.name}`, shape };
  }

  #reshape(from: Value, to: Value, shape: Shape): void {
    const vector = this.graph.shapeVector(shape);
    this.graph.nodes.push({ op: RESHAPE, inputs: [from, vector], attributes: {}, outputs: [to] });
  }
}
