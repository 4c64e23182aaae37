/** Weights that stay halves on WebGPU: a part of `make test-webgpu`, for adapters that have float16 (SwiftShader has none). */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { initAdapter } from "@gradpool/adapter";
import { openModel } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { chooseGpu, profiledNodes, TrainingSession, type Gpu } from "../src/index.js";

const TINY_CODER = fileURLToPath(new URL("../../../../models/tiny-coder", import.meta.url));
const driver = process.env["VK_DRIVER_FILES"] ?? process.env["GRADPOOL_TEST_VULKAN"];
const isAsked = process.env["GRADPOOL_TEST_DEVICE"] === "webgpu" && driver !== undefined;
const LENGTH = 9;

test(
  "halves on WebGPU: the processor's loss and gradients",
  { skip: !isAsked && "is a part of make test-webgpu" },
  async (t) => {
    process.env["VK_DRIVER_FILES"] = driver;
    const gpu = (await chooseGpu({ kind: "webgpu", adapter: "0" }, process.env))?.gpu;
    if (gpu?.provider !== "webgpu" || !gpu.float16) return t.skip("the adapter has no float16");
    const source = await openModel(TINY_CODER);
    const targets = selectTargets(source.model.description, ["c_attn"]);
    const tensors = initAdapter(targets, 4, 1);
    for (const [name, { data }] of tensors)
      if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i) / 50));
    const ids = Int32Array.from({ length: LENGTH }, (_, i) => (i * 37 + 11) % 300);
    const folder = await mkdtemp(join(tmpdir(), "gradpool-float16-"));
    const run = async (device: Gpu | undefined) => {
      const options = {
        threads: 1,
        gpu: device,
        dropout: false,
        profilePrefix: join(folder, device?.provider ?? "cpu"),
      };
      await using session = await TrainingSession.create({ source, targets, padRow: false, keepHalves: true }, options);
      const batch = { rows: 1, rowLength: LENGTH, ids, lengths: [LENGTH] };
      return await session.run(batch, { tensors, scaling: 4 }, undefined, 1024);
    };
    try {
      const [expected, actual] = [await run(undefined), await run(gpu)];
      assert.ok(Math.abs(actual.lossSum / expected.lossSum - 1) <= 1e-5);
      for (const [name, { data }] of expected.gradients) {
        const largest = Math.max(...data.map(Math.abs));
        const other = actual.gradients.get(name)?.data ?? [];
        for (const [i, value] of data.entries()) assert.ok(Math.abs(value - (other[i] ?? NaN)) <= 1e-5 * largest, name);
      }
      const { byProvider, copies } = await profiledNodes(join(folder, "webgpu"));
      assert.deepEqual([Object.keys(byProvider), copies], [["WebGpuExecutionProvider"], 0]);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);
