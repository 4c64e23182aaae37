/** Half-precision weights compute as the float32 numbers that they stand for, to the bit. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openModel } from "@gradpool/model-source";
import { LogitsSession } from "@gradpool/runtime";
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
