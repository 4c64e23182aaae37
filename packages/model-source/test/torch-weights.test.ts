/** Models whose weights torch.save wrote. */
import assert from "node:assert/strict";
import { copyFile, cp, mkdtemp, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openModel } from "@gradpool/model-source";
import { refuses } from "./support.js";

const fixture = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const MODEL = fixture("integration-tests/fixtures/golden/gpt2-unscaled/model");
const TORCH_FILES = fixture("packages/torch-file/test/fixtures");

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "gradpool-torch-"));
  await cp(MODEL, dir, { recursive: true });
  await unlink(join(dir, "model.safetensors"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("pytorch_model.bin opens, its buffers ignored", async () => {
  await copyFile(join(TORCH_FILES, "pytorch_model.bin"), join(dir, "pytorch_model.bin"));
  const { model, header } = await openModel(dir);
  assert.equal(model.description.parameters, (await openModel(MODEL)).model.description.parameters);
  assert.equal(header.tensors.get("transformer.wte.weight")?.file, "pytorch_model.bin");
});

test("in several files", async () => {
  await copyFile(join(TORCH_FILES, "pytorch_model.bin"), join(dir, "pytorch_model-00001-of-00002.bin"));
  await copyFile(join(TORCH_FILES, "state_dict.bin"), join(dir, "pytorch_model-00002-of-00002.bin"));
  await copyFile(join(TORCH_FILES, "pytorch_model.bin"), join(dir, "pytorch_model.bin"));
  const whole = await openModel(dir);
  await unlink(join(dir, "pytorch_model.bin"));
  const first = [...whole.header.tensors.keys()].map((name) => [name, "pytorch_model-00001-of-00002.bin"]);
  const write = (map: unknown) =>
    writeFile(join(dir, "pytorch_model.bin.index.json"), JSON.stringify({ weight_map: map }));
  await write({ ...Object.fromEntries(first), float32: "pytorch_model-00002-of-00002.bin" });
  await refuses(dir, "data_loss", /00002-of-00002\.bin does not fit its index: it holds "float16"/);
  await write(Object.fromEntries(first));
  const { header, modelHash } = await openModel(dir);
  assert.equal(header.tensors.size, whole.header.tensors.size);
  assert.equal(modelHash, whole.modelHash);
});

test("safetensors are preferred", async () => {
  await copyFile(join(TORCH_FILES, "code.bin"), join(dir, "pytorch_model.bin"));
  await copyFile(join(MODEL, "model.safetensors"), join(dir, "model.safetensors"));
  assert.equal((await openModel(dir)).modelHash, (await openModel(MODEL)).modelHash);
});

test("code is refused", async () => {
  await copyFile(join(TORCH_FILES, "code.bin"), join(dir, "pytorch_model.bin"));
  await refuses(dir, "failed_precondition", /posix\.system/);
});
