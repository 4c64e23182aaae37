import assert from "node:assert/strict";
import { test } from "node:test";
import { add, exp, Graph, mul, reshape, toModelProto } from "@gradpool/graph";
import { ModelProto } from "../src/gen/onnx-ml.js";

test("the shape of every value is written, sizes by name: ONNX Runtime uses a buffer again only where it knows that it fits", () => {
  const graph = new Graph();
  const rows = reshape(graph.input("x", "float32", ["B", "S", 4]), ["rest", 4]);
  graph.output("y", add(exp(rows), rows));
  exp(rows);
  const { graph: written } = ModelProto.decode(toModelProto(graph));
  const shapes = (written?.valueInfo ?? []).map(({ name, type }) => {
    const dims = type?.tensorType?.shape?.dim ?? [];
    return [name, ...dims.map(({ dimParam, dimValue }) => dimParam ?? Number(dimValue))];
  });
  // Without the second Exp, which nothing uses.
  const [flat, wide, sum] = graph.nodes.map(({ outputs }) => outputs[0]?.name);
  assert.deepEqual(shapes, [
    [flat, "B*S", 4],
    [wide, "B*S", 4],
    [sum, "B*S", 4],
  ]);
});

test("nodes that no other reads come last and in reverse: ONNX Runtime begins with the last", () => {
  const graph = new Graph();
  let x = graph.input("x", "float32", ["B", 4]);
  for (const name of ["first", "second", "third"]) {
    graph.output(name, mul(x, x));
    x = exp(x);
  }
  const { graph: written } = ModelProto.decode(toModelProto(graph));
  const [first, firstExp, second, secondExp, third] = graph.nodes.map(({ outputs }) => outputs[0]?.name);
  assert.deepEqual(
    written?.node.map(({ opType, output, input }) => (opType === "Identity" ? input[0] : output[0])),
    [firstExp, secondExp, third, second, first, third, second, first],
  );
});
