import assert from "node:assert/strict";
import { test } from "node:test";
import { concat, Graph, reshape, transpose, verify } from "@gradpool/graph";
import { addDims, divideDims, evaluateDim, sizeOf } from "../src/dims.js";

test("a sum of symbols is a symbol of its own", () => {
  const length = addDims("P", "S");
  assert.equal(length, "(P+S)");
  assert.equal(addDims(2, 3), 5);
  assert.equal(evaluateDim(length, { P: 4, S: 3 }), 7);
  const size = sizeOf([2, "B", length, 8]);
  assert.equal(evaluateDim(size, { B: 5, P: 0, S: 1 }), 80);
  assert.equal(divideDims(size, sizeOf([length, "B"])), 16);
  assert.equal(evaluateDim(addDims("P", 1), { P: 9 }), 10);
  assert.throws(() => addDims("2*B", "S"), /have no sum/);
  assert.throws(() => addDims(length, "S"), /have no sum/);
  assert.throws(() => evaluateDim(length, { P: 4 }), /dimension S has no value/);
});

test("tensors are joined along a symbolic axis", () => {
  const graph = new Graph();
  const past = graph.input("past", "float32", ["B", 2, "P", 4]);
  const present = graph.input("present", "float32", ["B", 2, "S", 4]);
  const joined = concat(past, present, 2);
  assert.deepEqual(joined.shape, ["B", 2, "(P+S)", 4]);
  graph.output("joined", reshape(transpose(joined, [0, 2, 1, 3]), ["B", "(P+S)", "rest"]));
  verify(graph);
  assert.throws(() => concat(past, present, 1), /do not fit/);
});
