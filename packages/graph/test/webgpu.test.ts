/** Every op and every group, values and gradients, on WebGPU against the processor. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { cos, Graph, matmul, OPS, reduceSum, reshape, writeFor, type Value } from "@gradpool/graph";
import { weightProduct } from "../src/groups/weight-product.js";
import { frozen, gradientGraph } from "./check-gradient.js";
import { DEVICE_CASES } from "./device-cases.js";
import { compile, type Feeds } from "./evaluate.js";
import { GROUP_CASES } from "./group-cases.js";
import { OP_CASES } from "./op-cases.js";

const driver = process.env["VK_DRIVER_FILES"] ?? process.env["GRADPOOL_TEST_VULKAN"];
if (driver !== undefined) process.env["VK_DRIVER_FILES"] = driver;
const skip = driver === undefined && "needs a Vulkan driver: chromium's SwiftShader and libvulkan1, or VK_DRIVER_FILES";
/** Of the largest: sums of up to 4099 products are taken in another order, and exponentials have their last digits. */
const TOLERANCE = 5e-6;

async function compare(graph: Graph, point: Feeds): Promise<void> {
  const expected = await (await compile(graph))(point);
  const actual = await (await compile(graph, {}, "webgpu"))(point);
  for (const [name, want] of Object.entries(expected)) {
    const got = actual[name] ?? assert.fail(`${name} is missing`);
    assert.equal(got.length, want.length);
    const isFinite = (x: number) => Math.abs(x) < 1e37;
    const largest = Math.max(0, ...want.filter(isFinite).map(Math.abs));
    for (const [i, x] of want.entries()) {
      const y = got[i] as number;
      const bound = TOLERANCE * (isFinite(x) ? largest : Math.abs(x));
      assert.ok(Object.is(x, y) || Math.abs(x - y) <= bound, `${name}[${i}]: ${y} instead of ${x}`);
    }
  }
}

describe("on WebGPU", { skip }, () => {
  for (const { name, inputs, build } of DEVICE_CASES) {
    test(name, async () => {
      const graph = new Graph();
      const values = inputs.map(({ shape, data }, i) => graph.input(`x${i}`, dtypeOf(data), shape));
      graph.output("y", build(values));
      await compare(graph, Object.fromEntries(inputs.map(({ data }, i) => [`x${i}`, data])));
    });
  }
  for (const [op, cases] of Object.entries(OP_CASES)) {
    for (const example of cases) {
      const { graph, point } = gradientGraph(example);
      test(`${op} ${example.name}: value and gradients`, () => compare(graph, point));
    }
  }
  for (const group of GROUP_CASES) {
    const { graph, point } = gradientGraph(group);
    test(`group ${group.name}: value and gradients`, () => compare(graph, point));
  }
});

const dtypeOf = (data: Feeds[string]) =>
  data instanceof Float32Array ? "float32" : data instanceof Uint8Array ? "bool" : "int64";

/** Products in eight bits are for processors alone. */
const ONLY_PROCESSORS = /quantize|Integer|^Max$|^Reduce(Max|Min)$/i;

test("every op of the table is used there", () => {
  const used = new Set<string>();
  const note = ({ nodes }: Graph) => nodes.forEach(({ op }) => used.add(op.name));
  for (const { inputs, build } of DEVICE_CASES) {
    const graph = new Graph();
    build(inputs.map(({ shape, data }, i) => graph.input(`x${i}`, dtypeOf(data), shape)));
    note(graph);
  }
  for (const example of Object.values(OP_CASES).flat()) note(gradientGraph(example).graph);
  const expected = Object.keys(OPS).filter((op) => !ONLY_PROCESSORS.test(op));
  assert.deepEqual([...used].sort(), expected.sort());
});

describe("a graph as it is written for WebGPU", () => {
  const names = (graph: Graph) => graph.nodes.map(({ op }) => op.name);
  const output = (build: (graph: Graph) => Value): Graph => {
    const graph = new Graph();
    graph.output("y", build(graph));
    return graph;
  };

  test("is the same for the processor and CUDA", () => {
    const graph = output((g) => matmul(g.input("a", "float32", ["N", 3]), frozen(g, [3, 2])));
    for (const provider of ["cpu", "cuda"] as const) assert.deepEqual(writeFor(provider, graph), { graph });
  });

  test("gets cosines, and what they are of, from the processor", () => {
    const graph = output((g) => reduceSum(cos(reshape(g.input("x", "float32", ["S", 2]), ["rest"])), [0]));
    const written = writeFor("webgpu", graph);
    const before = written.before ?? assert.fail();
    assert.deepEqual(names(before), ["Reshape", "Cos"]);
    assert.deepEqual(names(written.graph), ["ReduceSum"]);
    assert.deepEqual([...before.outputs.keys()], [written.graph.inputs.at(-1)?.name]);
  });

  test("widens halves where they are used, once for each use, with nothing from the processor", () => {
    const graph = output((g) => {
      const half = g.weight("w", "float16", [3, 3], { file: "f", offset: 0, length: 18 });
      const x = g.input("x", "float32", ["N", 3]);
      return weightProduct(weightProduct(x, half), half, { transB: true });
    });
    const written = writeFor("webgpu", graph);
    assert.equal(written.before, undefined);
    assert.deepEqual(names(written.graph), ["Reshape", "Cast", "Gemm", "Reshape", "Cast", "Gemm"]);
    const [first, , , second] = written.graph.nodes;
    assert.notEqual(first?.inputs[1], second?.inputs[1]);
    assert.deepEqual([...written.graph.shapeInputs.values()].slice(-2), [
      [3, 3],
      [3, 3],
    ]);
  });

  test("is refused where the processor would have to read weights", () => {
    const graph = output((g) => cos(g.weight("w", "float32", [2], { file: "f", offset: 0, length: 8 })));
    assert.throws(() => writeFor("webgpu", graph), /Cos, which is for the processor, reads w/);
  });
});
