/** The reference runs through the command line and all services. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import {
  adapterError,
  Golden,
  GOLDEN_CASES,
  goldenArguments,
  gradpool,
  IS_LONG,
  magnitudeError,
  TOLERANCE,
  Workspace,
  type GoldenStep,
} from "@gradpool/integration-tests";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";

/** Of all kinds: what the others differ in is in the graph alone, where golden-graph.test.ts compares each. */
const CASES = IS_LONG ? GOLDEN_CASES : (["gpt2-codeparrot", "llama-dora", "pythia", "gpt2-float16"] as const);

for (const name of CASES) {
  test(`gradpool train reproduces ${name}`, async () => {
    await using workspace = await Workspace.create();
    const golden = new Golden(name);
    const outputDir = workspace.path("out");
    const args = goldenArguments(golden, { output_dir: outputDir, trainers: 2 });
    const { code, stderr } = await gradpool(["train", ...args], workspace.path("home"));
    assert.equal(code, 0, stderr);

    const metrics = JSON.parse(await readFile(`${outputDir}/metrics.json`, "utf8")) as { steps: GoldenStep[] };
    assert.equal(metrics.steps.length, golden.steps.length);
    for (const [i, expected] of golden.steps.entries()) {
      const actual = metrics.steps[i];
      assert.ok(actual);
      const { step, epoch, tokens } = expected;
      assert.deepEqual({ step: actual.step, epoch: actual.epoch, tokens: actual.tokens }, { step, epoch, tokens });
      assert.ok(Math.abs(actual.loss / expected.loss - 1) <= TOLERANCE.loss, `step ${step}: loss ${actual.loss}`);
      assert.ok(Math.abs(actual.grad_norm / expected.grad_norm - 1) <= 1e-5, `step ${step}: grad_norm`);
      assert.ok(Math.abs(actual.learning_rate - expected.learning_rate) <= 1e-15, `step ${step}: learning_rate`);
    }
    const { tensors } = readSafetensors(await readFile(`${outputDir}/adapter_model.safetensors`));
    const adapter = new Map(
      [...tensors].map(([key, tensor]) => [key, { shape: tensor.shape, data: toFloat32(tensor) }]),
    );
    const final = golden.floats("final_adapter/adapter_model.safetensors");
    const error = adapterError(adapter, final);
    assert.ok(error <= TOLERANCE.adapter, `final adapter: ${error}`);
    const magnitudes = magnitudeError(adapter, final, golden.floats("init_adapter/adapter_model.safetensors"));
    assert.ok(magnitudes <= TOLERANCE.adapter, `final magnitudes: ${magnitudes}`);
  });
}
