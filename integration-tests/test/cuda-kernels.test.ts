/** ONNX Runtime's CUDA provider has kernels for everything in the graphs: no node would run on the CPU. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { halfPrecisionGraphs, modelGraphs, signaturesOf } from "@gradpool/integration-tests";

const { source, kernels } = JSON.parse(
  readFileSync(new URL("../../fixtures/cuda-kernels.json", import.meta.url), "utf8"),
) as { source: string; kernels: string[] };
const known = new Set(kernels);
const ADVICE = `${source}, lacks it; write the graph with ops that it has (or, where it is new, ask again)`;

test("there is a kernel for every op of every graph, for the types it is used with", async () => {
  for (const graphs of [modelGraphs(), halfPrecisionGraphs()]) {
    for await (const { name, graph } of graphs) {
      for (const signature of signaturesOf(graph))
        assert.ok(known.has(signature), `${name} uses ${signature}: ${ADVICE}`);
    }
  }
});

test("the list comes from the provider: it lacks kernels that we use elsewhere or not at all", () => {
  // Ops that gradpool emits, with types that no graph uses for them.
  for (const signature of [
    "ai.onnx:Erf(int64) int64",
    "ai.onnx:Softmax(int64) int64",
    "ai.onnx:Add(bool, bool) bool",
  ]) {
    assert.ok(!known.has(signature), signature);
  }
});
