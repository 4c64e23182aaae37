/** What the rest of the tests show on the processor, in small on WebGPU; `make test-webgpu` runs the reference runs there. */
import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { initAdapter, type AdapterTensors } from "@gradpool/adapter";
import { Golden, gradpool, relativeError, Workspace, withVulkan } from "@gradpool/integration-tests";
import { openModel } from "@gradpool/model-source";
import { profiledNodes, TrainingSession, type Base, type Batch, type Gpu } from "@gradpool/runtime";

const gpu: Gpu = { provider: "webgpu" };
const BATCH: Batch = {
  rows: 2,
  rowLength: 9,
  ids: Int32Array.from({ length: 18 }, (_, i) => (i * 37 + 11) % 300),
  lengths: [9, 6],
};
const KEY = { probability: 0.3, seed: 5, step: 1, microBatch: 2 };
const LOSS_TOLERANCE = 1e-5;
const GRADIENT_TOLERANCE = 1e-5;

/** Every module of a model, with B no longer 0. */
async function baseOf(name: string, useDora = false): Promise<{ base: Base; tensors: AdapterTensors }> {
  const source = await openModel(new Golden(name).modelDir);
  const targets = source.model.description.modules.map((module) => ({ ...module, useDora }));
  const magnitudes = (out: number) => Float32Array.from({ length: out }, (_, i) => 1 + (i % 7) / 10);
  const norms = new Map(targets.map(({ name, outFeatures }) => [name, magnitudes(outFeatures)]));
  const tensors = initAdapter(targets, 3, 0, norms);
  for (const [key, { data }] of tensors) {
    if (key.endsWith("lora_B.weight")) data.forEach((_, i) => (data[i] = Math.sin(i) / 20));
  }
  return { base: { source, targets, padRow: false }, tensors };
}

describe("WebGPU", { skip: withVulkan() }, () => {
  for (const { name, useDora, ...options } of [
    { name: "llama-gqa", useDora: false, dropout: true, gradientCheckpointing: true },
    { name: "llama-dora", useDora: true, dropout: true },
  ]) {
    test(`${name} has the processor's loss and gradients, with dropout`, async () => {
      const { base, tensors } = await baseOf(name, useDora);
      const adapter = { tensors, scaling: 2 };
      await using here = await TrainingSession.create(base, { threads: 1, ...options });
      await using there = await TrainingSession.create(base, { threads: 1, gpu, ...options });
      const expected = await here.run(BATCH, adapter, KEY);
      const actual = await there.run(BATCH, adapter, KEY);
      assert.ok(Math.abs(actual.lossSum / expected.lossSum - 1) <= LOSS_TOLERANCE);
      for (const [key, { data }] of expected.gradients) {
        const error = relativeError(actual.gradients.get(key)?.data ?? new Float32Array(), data);
        assert.ok(error <= GRADIENT_TOLERANCE, `${key}: ${error}`);
      }
      const again = await there.run(BATCH, adapter, KEY);
      assert.deepEqual(again, actual, "the same bits twice");
    });
  }

  test("sample writes the processor's tokens, and eval measures its loss", async () => {
    await using workspace = await Workspace.create();
    await writeFile(workspace.path("rows.jsonl"), '{"content": "def add(a, b): return a + b"}\n');
    const answer = async (device: string, ...command: string[]) => {
      const model = ["--model_id", new Golden("gpt2-plain").modelDir, "--device", device, "--json"];
      const { code, stdout, stderr } = await gradpool([...command, ...model], workspace.path("home"));
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as { tokens: { completion: number[] }; loss: number };
    };
    const sample = ["sample", "--prompt", "def f", "--max_new_tokens", "3", "--temperature", "0"];
    const [here, there] = [await answer("cpu", ...sample), await answer("webgpu:0", ...sample)];
    assert.equal(there.tokens.completion.length, 3);
    assert.deepEqual(there.tokens, here.tokens);
    const measure = ["eval", "--dataset", workspace.path("rows.jsonl")];
    const [expected, actual] = [await answer("cpu", ...measure), await answer("webgpu:0", ...measure)];
    assert.ok(Math.abs(actual.loss / expected.loss - 1) <= LOSS_TOLERANCE, `${actual.loss}, ${expected.loss}`);
  });

  test("the command line and trainers, as they are bundled, find their probes", async () => {
    await using workspace = await Workspace.create();
    // A driver that lists a device, and no CUDA.
    await writeFile(workspace.path("nvidia-smi"), "#!/bin/sh\necho '0, GPU-aaaa, Fake GPU, 16384, 580.95.05, 9.0'\n");
    await chmod(workspace.path("nvidia-smi"), 0o755);
    const { stdout } = await gradpool(["doctor"], workspace.path("home"), { PATH: workspace.dir });
    assert.match(stdout, /^webgpu +works: webgpu:0 is /m);
    assert.match(
      stdout,
      /^cuda +note: .*(libonnxruntime_providers_|libcu|cannot use cuda:0 \((?!.*Cannot find module))/m,
    );
  });

  test("every node of a step runs there, and nothing is copied in between", async () => {
    await using workspace = await Workspace.create();
    const { base, tensors } = await baseOf("qwen3-norm");
    const profilePrefix = workspace.path("profile");
    {
      await using session = await TrainingSession.create(base, { threads: 1, gpu, dropout: true, profilePrefix });
      await session.run(BATCH, { tensors, scaling: 2 }, KEY);
    }
    const { byProvider, copies, times } = await profiledNodes(profilePrefix);
    assert.deepEqual([Object.keys(byProvider), copies], [["WebGpuExecutionProvider"], 0]);
    assert.ok((byProvider["WebGpuExecutionProvider"] ?? 0) > 200);
    assert.ok(times.device !== undefined && times.device > 0 && times.device < times.run);
  });
});
