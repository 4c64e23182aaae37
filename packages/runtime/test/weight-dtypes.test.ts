/** Half-precision weights compute as the float32 numbers that they encode, to the bit. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { initAdapter } from "@gradpool/adapter";
import { openModel, weightNorms } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { LogitsSession, TrainingSession } from "@gradpool/runtime";
import { readSafetensors, toFloat32, writeSafetensors, type Tensor } from "@gradpool/safetensors";

const model = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const IDS = [5, 99, 7, 300, 12, 0, 44];

async function logits(dir: string, tensors: Map<string, Tensor | { shape: number[]; data: Float32Array }>) {
  await writeFile(join(dir, "model.safetensors"), writeSafetensors(tensors));
  const source = await openModel(dir);
  await using session = await LogitsSession.create({ source, targets: [], padRow: true }, { threads: 1 });
  const { data } = await session.run(IDS, [0, 3, 6]);
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
}

async function compare(from: string, narrow: (tensor: Tensor) => Tensor): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "gradpool-dtypes-"));
  try {
    await cp(join(from, "config.json"), join(dir, "config.json"));
    const stored = readSafetensors(await readFile(join(from, "model.safetensors"))).tensors;
    const half = new Map([...stored].map(([name, tensor]) => [name, narrow(tensor)]));
    const widened = new Map(
      [...half].map(([name, tensor]) => [name, { shape: tensor.shape, data: toFloat32(tensor) }]),
    );
    assert.equal(await logits(dir, half), await logits(dir, widened));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test("float16", () => compare(model("models/tiny-coder"), (tensor) => tensor));

test("bfloat16", () =>
  compare(model("integration-tests/fixtures/golden/gpt2-plain/model"), ({ shape, data }) => {
    // The upper half of each float32.
    const upper = new Uint8Array(data.byteLength / 2);
    for (let i = 0; i < upper.length; i += 2) upper.set(data.subarray(2 * i + 2, 2 * i + 4), i);
    return { dtype: "BF16", shape, data: upper };
  }));

test("halves that stay halves, DoRA's norms among what they go into: float32's numbers, and the same bits of a scaled loss", async () => {
  const source = await openModel(model("models/tiny-coder"));
  const selected = selectTargets(source.model.description, ["c_attn", "c_proj"]);
  const ids = Int32Array.from(IDS);
  const batch = { rows: 1, rowLength: IDS.length, ids, lengths: [IDS.length] };
  for (const useDora of [false, true]) {
    const targets = selected.map((target) => ({ ...target, useDora }));
    const tensors = initAdapter(targets, 4, 1, await weightNorms(source, targets));
    for (const [name, { data }] of tensors)
      if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i) / 50));
    const results = [];
    for (const [keepHalves, lossScale] of [
      [false, 1],
      [true, 1],
      [true, 1024],
    ] as const) {
      const options = { threads: 1, dropout: false, gradientCheckpointing: keepHalves };
      await using session = await TrainingSession.create({ source, targets, padRow: false, keepHalves }, options);
      const { lossSum, gradients } = await session.run(batch, { tensors, scaling: 4 }, undefined, lossScale);
      results.push([lossSum, ...[...gradients.values()].map(({ data }) => data.map((value) => value / lossScale))]);
    }
    const [widenedOnce, halves, scaled] = results as [number | Float32Array, ...Float32Array[]][];
    assert.deepEqual(scaled, halves);
    // ONNX Runtime packs constant weights and multiplies others as they are: sums may round otherwise.
    for (const [i, values] of (widenedOnce ?? []).entries()) {
      const other = halves?.[i] ?? NaN;
      if (typeof values === "number") assert.ok(Math.abs(Number(other) / values - 1) < 1e-6);
      else {
        const largest = Math.max(...values.map(Math.abs));
        const off = Math.max(...values.map((value, at) => Math.abs(value - ((other as Float32Array)[at] ?? NaN))));
        assert.ok(off <= 1e-5 * largest, `${useDora}, ${i}: ${off} of ${largest}`);
      }
    }
  }
});
