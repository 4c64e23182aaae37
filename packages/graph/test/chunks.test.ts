/** Nodes that a processor computes for some rows after the other: the same bits as for all at once, and less memory. */
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import {
  backward,
  evaluateDim,
  gated,
  gelu,
  Graph,
  linearCrossEntropy,
  loraLinear,
  matmul,
  silu,
  writeFor,
  type Node,
} from "@gradpool/graph";
import { chunksOf } from "../src/dims.js";
import { frozen } from "./check-gradient.js";
import { compile, uniform } from "./evaluate.js";

const [C, INNER, V, r] = [8, 3072, 300, 2];

/** A gated layer, a linear layer that is adapted, gelu, and the loss: all groups with chunks, of N = B·S rows. */
function network(): Graph {
  const graph = new Graph();
  const trainable = (name: string, shape: (number | string)[]) =>
    graph.input(name, "float32", shape, { trainable: true });
  const x = trainable("x", ["B*S", C]);
  const [a, b] = [trainable("a", [r, INNER]), trainable("b", [C, r])];
  const wide = matmul(x, frozen(graph, [C, INNER], 1));
  const up = matmul(x, frozen(graph, [C, INNER], 2));
  const weight = frozen(graph, [INNER, C], 3);
  const narrow = loraLinear(gated(silu(wide), up), { weight, transposed: false }, { a, b, scaling: graph.scalar(2) });
  const [targets, weights] = [graph.input("targets", "int64", ["B*S"]), graph.input("weights", "float32", ["B*S"])];
  const loss = linearCrossEntropy(gelu(narrow, "tanh"), frozen(graph, [V, C], 4), targets, weights);
  graph.output("loss", loss);
  for (const [i, gradient] of backward(loss, [x, a, b]).entries()) graph.output(`gradient${i}`, gradient);
  return graph;
}

function withoutChunks(graph: Graph): Graph {
  graph.nodes.splice(0, Infinity, ...graph.nodes.map(({ chunk: _, ...node }): Node => node));
  return graph;
}

describe("chunks", () => {
  // 1,016 is 127 rows eight times; 509 is prime; 1 is a row alone.
  for (const [B, S] of [
    [8, 127],
    [1, 64],
    [1, 509],
    [1, 1],
    [2, 3],
  ] as const)
    // prettier-ignore
    it(`compute ${B} × ${S} rows to the bits of all at once`, async () => {
      const rows = B * S;
      const feeds = {
        ...{ x: uniform(5, rows * C), a: uniform(6, r * INNER, -0.1, 0.1), b: uniform(7, C * r) },
        targets: BigInt64Array.from({ length: rows }, (_, i) => BigInt((i * 7919) % V)),
        weights: Float32Array.from({ length: rows }, (_, i) => 1 + (i % 3)),
      };
      const chunked = await (await compile(network(), { B, S }))(feeds);
      const whole = await (await compile(withoutChunks(network()), { B, S }))(feeds);
      assert.deepEqual(chunked, whole);
      assert.ok(chunked["gradient1"]?.every((value) => Number.isFinite(value) && value !== 0));
    });

  it("leave nothing of N × V, and no wide value of an activation but its operands, to the backward pass", () => {
    const { nodes } = writeFor("cpu", network()).graph;
    const shapes = nodes.flatMap(({ outputs }) => outputs.map(({ shape }) => shape.join()));
    assert.ok(nodes.some(({ op }) => op.name === "Scan"));
    assert.ok(!shapes.includes(`B*S,${V}`));
    // The two products, their gated product and that again, the gradients of all three, and LoRA's part of one.
    assert.equal(shapes.filter((shape) => shape === `B*S,${INNER}`).length, 8);
  });

  it("are for processors: a GPU gets the graph as it is", () => {
    const graph = network();
    assert.equal(writeFor("cuda", graph).graph, graph);
    assert.ok(!writeFor("webgpu", graph).graph.nodes.some(({ op }) => op.name === "Scan"));
  });
});

test("a large head is packed for its way back alone; rows and logits are read where it is mapped", () => {
  const readersOf = (vocabulary: number) => {
    const graph = new Graph();
    const head = graph.weight("head", "float32", [vocabulary, C], { file: "model", offset: 0, length: 0 });
    const x = graph.input("x", "float32", ["B*S", C], { trainable: true });
    const [targets, weights] = [graph.input("targets", "int64", ["B*S"]), graph.input("weights", "float32", ["B*S"])];
    for (const one of backward(linearCrossEntropy(x, head, targets, weights), [x])) graph.output("gradient", one);
    const written = writeFor("cpu", graph).graph;
    const bodies = written.nodes.flatMap(({ attributes }) => (attributes["body"] as Graph | undefined)?.nodes ?? []);
    const ofHead = bodies.flatMap(({ op, inputs, attributes }) =>
      inputs
        .filter(({ name }) => name.startsWith("head"))
        .map(({ name }) => [op.name, attributes["transB"] ?? false, name]),
    );
    return { ofHead, unpacked: [...written.unpacked].map(({ name }) => name) };
  };
  const { ofHead, unpacked } = readersOf(32_768);
  assert.deepEqual(ofHead, [
    ["FusedMatMul", true, "head/mapped"],
    ["FusedMatMul", false, "head"],
    ["Gather", false, "head/mapped"],
  ]);
  assert.deepEqual(unpacked, ["head/mapped"]);
  assert.deepEqual(readersOf(512).unpacked, []);
});

test("chunks have equal lengths near the wanted one, and not of a few rows", () => {
  const of = (rows: number, wanted: number) => {
    const { chunks, rows: length } = chunksOf("B*S", wanted);
    const at = { B: 1, S: rows };
    assert.equal(evaluateDim(chunks, at) * evaluateDim(length, at), rows);
    assert.deepEqual(chunksOf(rows, wanted), { chunks: evaluateDim(chunks, at), rows: evaluateDim(length, at) });
    return evaluateDim(length, at);
  };
  assert.deepEqual([of(1024, 256), of(1016, 256), of(1016, 32), of(1024, 32)], [256, 254, 127, 32]);
  assert.deepEqual([of(1021, 32), of(2 * 1021, 256), of(7, 32), of(1, 32), of(100, 4096)], [1021, 1021, 7, 1, 100]);
});
