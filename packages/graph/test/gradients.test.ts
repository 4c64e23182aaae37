/** Every op's gradient rule against finite differences of the forward pass, on ONNX Runtime. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { backward, concat, gather, gatherElements, Graph, mul, OPS, reduceSum } from "@gradpool/graph";
import { check, frozen, indices } from "./check-gradient.js";
import { compile } from "./evaluate.js";
import { OP_CASES } from "./op-cases.js";

for (const [op, cases] of Object.entries(OP_CASES)) {
  const differentiable = (OPS[op] ?? assert.fail()).vjp.some((rule) => rule !== null);
  test(`${op}: has cases exactly if it has a gradient`, () => {
    assert.equal(cases.length > 0, differentiable);
  });
  for (const example of cases) {
    test(`${op}: gradient ${example.name}`, () => check(example));
  }
}

test("every op of the table has an entry here", () => {
  assert.deepEqual(Object.keys(OP_CASES).sort(), Object.keys(OPS).sort());
});

test("the gradient of a sum is 1 for every element, infinite ones and those that are not a number too", async () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [2, "S"], { trainable: true });
  const [gradient] = backward(reduceSum(x, [0, 1], false), [x]);
  graph.output("gradient", gradient ?? assert.fail());
  const run = await compile(graph, { S: 2 });
  const { gradient: ones } = await run({ x: Float32Array.of(Infinity, NaN, -Infinity, 3) });
  assert.deepEqual(ones, Float32Array.of(1, 1, 1, 1));
});

test("a gradient that does not fit its value is refused", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [2, 3], { trainable: true });
  const squares = graph.withGradient(
    [x],
    () => mul(x, x),
    (g) => [reduceSum(g, [1])],
  );
  assert.throws(() => backward(reduceSum(squares, [0, 1], false), [x]), /\[2, 1\] does not fit its value \[2, 3\]/);
});

test("look-ups refuse a gradient into their table instead of losing it", () => {
  const graph = new Graph();
  const table = graph.input("table", "float32", [4, 2], { trainable: true });
  assert.throws(() => gather(table, indices(graph, 1n)), /Gather has no gradient for input 0/);
  assert.throws(() => gatherElements(table, graph.literal(BigInt64Array.of(0n), [1, 1])), /no gradient|rows differ/);
  assert.throws(() => concat(table, frozen(graph, [1, 2]), 0), /Concat has no gradient/);
});
