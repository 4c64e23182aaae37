import assert from "node:assert/strict";
import { test } from "node:test";
import { add, exp, Graph, reshape, toModelProto } from "@gradpool/graph";
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
