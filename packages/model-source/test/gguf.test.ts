/** GGUF files become model folders once, however many processes ask. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { GradpoolError } from "@gradpool/errors";
import { modelPlaces, type ModelPlaces } from "@gradpool/hub";
import { modelPath, openModel } from "@gradpool/model-source";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";
import { refuses } from "./support.js";

const fixture = (path: string) =>
  fileURLToPath(new URL(`../../../../integration-tests/fixtures/${path}`, import.meta.url));
const QWEN3 = fixture("gguf/qwen3-norm.gguf");
const LLAMA = fixture("gguf/llama-gqa.gguf");

let dir: string;
let cache: string;
let places: ModelPlaces;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "gradpool-gguf-"));
  cache = join(dir, "home", "cache");
  places = modelPlaces({ GRADPOOL_HOME: join(dir, "home") });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("the file opens as a model, kept under its hash", async () => {
  const source = await openModel(LLAMA, places);
  assert.equal(source.id, LLAMA);
  assert.match(source.dir, /cache\/gguf-2-[0-9a-f]{64}$/);
  assert.deepEqual((await readdir(source.dir)).sort(), [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  assert.deepEqual(await readdir(cache), [source.dir.slice(cache.length + 1)]);
  assert.equal((await openModel(LLAMA, places)).modelHash, source.modelHash);
});

test("halves stay halves, and q and k come back in transformers' order", async () => {
  const { dir: folder } = await openModel(QWEN3, places);
  const converted = readSafetensors(await readFile(join(folder, "model.safetensors"))).tensors;
  assert.equal(converted.get("model.layers.0.mlp.up_proj.weight")?.dtype, "BF16");
  assert.equal(converted.get("model.norm.weight")?.dtype, "F32");

  const llama = readSafetensors(
    await readFile(join((await openModel(LLAMA, places)).dir, "model.safetensors")),
  ).tensors;
  const golden = readSafetensors(await readFile(fixture("golden/llama-gqa/model/model.safetensors"))).tensors;
  for (const [name, tensor] of golden) {
    const values = toFloat32(llama.get(name)!);
    const original = toFloat32(tensor);
    const largest = original.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    // Q8_0 keeps each element to half a step of 1/127 of its block's largest, whose scale is a half.
    const error = values.reduce((most, value, i) => Math.max(most, Math.abs(value - original[i]!)), 0);
    assert.ok(error <= largest * (1 / 254 + 2 ** -11), `${name}: ${error}`);
  }
});

test("any part of a model in several files means the whole model", async () => {
  const names = [1, 2].map((part) => `llama-gqa-0000${part}-of-00002.gguf`);
  for (const name of names) await copyFile(fixture(`gguf/${name}`), join(dir, name));
  const weights = async (path: string) =>
    readSafetensors(await readFile(join((await openModel(path, places)).dir, "model.safetensors"))).tensors;
  for (const path of [dir, ...names.map((name) => join(dir, name))]) {
    assert.deepEqual(await weights(path), await weights(LLAMA));
  }
  await rm(join(dir, names[0]!));
  const missing = /is one of 2 parts, and .*00001-of-00002\.gguf is missing; put all parts/;
  await assert.rejects(openModel(join(dir, names[1]!), places), { code: "not_found", message: missing });
});

test("a folder with one GGUF file means that file; with several, one has to be named", async () => {
  await copyFile(LLAMA, join(dir, "a.gguf"));
  assert.equal((await openModel(dir, places)).modelHash, (await openModel(LLAMA, places)).modelHash);
  await copyFile(QWEN3, join(dir, "b.gguf"));
  await refuses(dir, "invalid_argument", /has 2 GGUF files; name one: a\.gguf, b\.gguf/);
  await cp(fixture("golden/gpt2-plain/model"), dir, { recursive: true });
  assert.equal((await openModel(dir, places)).model.description.modelType, "gpt2");
});

test("a link without the ending, as in the Hugging Face cache", async () => {
  await symlink(LLAMA, join(dir, "blob"));
  assert.equal((await modelPath(join(dir, "blob"), places)).folder, (await modelPath(LLAMA, places)).folder);
});

test("another file at the same path is another model", async () => {
  const path = join(dir, "model.gguf");
  await copyFile(LLAMA, path);
  const { modelHash } = await openModel(path, places);
  await copyFile(QWEN3, path);
  await utimes(path, 1, 1);
  assert.notEqual((await openModel(path, places)).modelHash, modelHash);
});

test("weights that differ only in their values have different hashes", async () => {
  const path = join(dir, "model.gguf");
  const bytes = await readFile(LLAMA);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
  assert.notEqual((await openModel(path, places)).modelHash, (await openModel(LLAMA, places)).modelHash);
});

test("processes that convert at once do not step on each other", async () => {
  const opener = fileURLToPath(new URL("./opener.js", import.meta.url));
  const children = Array.from({ length: 4 }, () => fork(opener, [LLAMA, join(dir, "home")]));
  const answers = await Promise.all(
    children.map(async (child) => {
      const [[answer], [code]] = await Promise.all([once(child, "message"), once(child, "exit")]);
      assert.equal(code, 0);
      return answer as string;
    }),
  );
  assert.equal(new Set(answers).size, 1);
  assert.equal((await readdir(cache)).length, 1);
});

test("what a killed process left is removed after a day, not before", async () => {
  const name =
    (await modelPath(LLAMA, modelPlaces({ GRADPOOL_HOME: join(dir, "elsewhere") }))).folder.split("/").at(-1) ?? "";
  const old = join(cache, `.${name}-old`);
  const recent = join(cache, `.${name}-recent`);
  for (const folder of [old, recent]) {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "model.safetensors"), "half");
  }
  await utimes(old, 1, 1);
  await modelPath(LLAMA, places);
  assert.deepEqual((await readdir(cache)).sort(), [`.${name}-recent`, name]);
});

test("nothing is left of a conversion that fails", async () => {
  const bytes = await readFile(LLAMA);
  const path = join(dir, "model.gguf");
  // Another number of layers than there are.
  bytes.writeUInt32LE(3, bytes.indexOf("llama.block_count") + "llama.block_count".length + 4);
  await writeFile(path, bytes);
  await assert.rejects(openModel(path, places), { code: "data_loss", message: /model\.layers\.2\..* is missing/ });
  assert.deepEqual(await readdir(cache), []);
});

test("no cache folder, or none that can be written", async () => {
  await refuses(LLAMA, "failed_precondition", /needs a cache folder .*; set GRADPOOL_HOME/);
  await writeFile(join(dir, "file"), "");
  await assert.rejects(openModel(LLAMA, modelPlaces({ GRADPOOL_HOME: join(dir, "file") })), {
    code: "permission_denied",
    message: /cannot be written \(ENOTDIR\)/,
  });
});

test("a truncated file, wherever it ends", async () => {
  const bytes = await readFile(LLAMA);
  const path = join(dir, "model.gguf");
  for (const length of [4, 8, 24, 100, 20_000, bytes.length >> 1, bytes.length - 1]) {
    await writeFile(path, bytes.subarray(0, length));
    await assert.rejects(openModel(path, places), { code: "data_loss", message: /is damaged/ });
  }
  assert.ok((await stat(cache)).isDirectory());
});

test("any mutation gives a typed error or a model", async () => {
  const good = await readFile(QWEN3);
  const path = join(dir, "model.gguf");
  const headerBytes = 20_000;
  const edit = fc.record({
    at: fc.oneof(fc.nat(1500), fc.nat(headerBytes), fc.nat(good.length - 9)),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 4 }),
      fc.constantFrom(Buffer.alloc(8), Buffer.alloc(4, 0xff)),
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      const bytes = Buffer.from(good);
      for (const { at, bytes: inserted } of edits) bytes.set(inserted, at);
      await writeFile(path, bytes);
      await openModel(path, places).catch((error: unknown) => {
        assert.ok(error instanceof GradpoolError, `an untyped error: ${String(error)}`);
      });
    }),
    { numRuns: 200 },
  );
});
