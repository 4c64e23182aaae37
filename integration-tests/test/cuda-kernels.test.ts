/** The graphs hold only what ONNX Runtime's CUDA provider has kernels for: no node would run on the processor. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { halfPrecisionGraphs, modelGraphs, signaturesOf } from "@gradpool/integration-tests";

const { source, kernels } = JSON.parse(
  readFileSync(new URL("../../fixtures/cuda-kernels.json", import.meta.url), "utf8"),
) as { source: string; kernels: string[] };
const known = new Set(kernels);
const ADVICE = `${source}, lacks it; write the graph with ops that it has (or, where it is new, ask again)`;

test("every op of every graph, on the types that it is used with", async () => {
  for (const graphs of [modelGraphs(), halfPrecisionGraphs()]) {
    for await (const { name, graph } of graphs) {
      for (const signature of signaturesOf(graph))
        assert.ok(known.has(signature), `${name} uses ${signature}: ${ADVICE}`);
    }
  }
});

test("the list is the provider's, not ours: it lacks what we use elsewhere or not at all", () => {
  // Of the ops that gradpool emits, on types that no graph uses them with.
  for (const signature of [
    "ai.onnx:Erf(int64) int64",
    "ai.onnx:Softmax(int64) int64",
    "ai.onnx:Add(bool, bool) bool",
  ]) {
    assert.ok(!known.has(signature), signature);
  }
});
