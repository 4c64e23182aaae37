/** Whichever files hold a model's weights, ONNX Runtime computes the same bits. */
import assert from "node:assert/strict";
import { copyFile, cp, mkdtemp, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openModel } from "@gradpool/model-source";
import { LogitsSession } from "@gradpool/runtime";
import { readSafetensors, writeSafetensors } from "@gradpool/safetensors";

const MODEL = fileURLToPath(
  new URL("../../../../integration-tests/fixtures/golden/gpt2-unscaled/model", import.meta.url),
);
/** The same weights, written by torch. */
const TORCH_FILES = fileURLToPath(new URL("../../../torch-file/test/fixtures/", import.meta.url));
const IDS = [5, 99, 7, 300, 12, 0, 44];

async function logits(dir: string): Promise<string> {
  const source = await openModel(dir);
  // The pad row is read from the table's file by gradpool itself.
  await using session = await LogitsSession.create({ source, targets: [], padRow: true }, { threads: 1 });
  const { data } = await session.run(IDS, [0, 3, 6]);
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
}

for (const file of ["pytorch_model.bin", "pytorch_model_old.bin"])
  test(`${file} of torch.save, with the buffers of old checkpoints, with its tensors read in place`, async () => {
    const dir = await mkdtemp(join(tmpdir(), "gradpool-files-"));
    try {
      await copyFile(TORCH_FILES + file, join(dir, "pytorch_model.bin"));
      await copyFile(join(MODEL, "config.json"), join(dir, "config.json"));
      assert.equal(await logits(dir), await logits(MODEL));
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

test("three safetensors files instead of one", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gradpool-files-"));
  try {
    await cp(MODEL, dir, { recursive: true });
    const { tensors } = readSafetensors(await readFile(join(dir, "model.safetensors")));
    await unlink(join(dir, "model.safetensors"));
    const fileOf = (i: number) => `model-0000${(i % 3) + 1}-of-00003.safetensors`;
    const weightMap = Object.fromEntries([...tensors.keys()].map((name, i) => [name, fileOf(i)]));
    for (const file of new Set(Object.values(weightMap))) {
      const part = new Map([...tensors].filter(([name]) => weightMap[name] === file));
      await writeFile(join(dir, file), writeSafetensors(part));
    }
    await writeFile(join(dir, "model.safetensors.index.json"), JSON.stringify({ weight_map: weightMap }));
    assert.equal(await logits(dir), await logits(MODEL));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
