/** Weights in several files: the same model, and nothing taken from outside its folder. */
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import fc from "fast-check";
import { openModel } from "@gradpool/model-source";
import { readSafetensors, writeSafetensors } from "@gradpool/safetensors";
import { GOLDEN_MODEL, refuses } from "./support.js";

const INDEX = "model.safetensors.index.json";
const FIRST = "model-00001-of-00002.safetensors";
const SECOND = "model-00002-of-00002.safetensors";

let dir: string;
let weightMap: Record<string, unknown>;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "gradpool-shards-"));
  await cp(GOLDEN_MODEL, dir, { recursive: true });
  const { tensors } = readSafetensors(await readFile(join(dir, "model.safetensors")));
  await unlink(join(dir, "model.safetensors"));
  const names = [...tensors.keys()];
  const half = names.length >> 1;
  weightMap = {};
  for (const [file, part] of [
    [FIRST, names.slice(0, half)],
    [SECOND, names.slice(half)],
  ] as const) {
    await writeFile(join(dir, file), writeSafetensors(new Map(part.map((name) => [name, tensors.get(name)!]))));
    for (const name of part) weightMap[name] = file;
  }
  await writeIndex(weightMap);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const writeIndex = (map: unknown) =>
  writeFile(join(dir, INDEX), JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }));

test("every tensor is found in its file, and the hash stays the same", async () => {
  const { header, modelHash } = await openModel(dir);
  assert.deepEqual(
    Object.fromEntries([...header.tensors].map(([name, { file }]) => [name, file])),
    Object.fromEntries(Object.entries(weightMap)),
  );
  assert.equal((await openModel(dir)).modelHash, modelHash);
});

test("a change in any file's header changes the hash", async () => {
  const { modelHash } = await openModel(dir);
  const { tensors } = readSafetensors(await readFile(join(dir, SECOND)));
  await writeFile(join(dir, SECOND), writeSafetensors(tensors, { format: "pt" }));
  assert.notEqual((await openModel(dir)).modelHash, modelHash);
});

test("a snapshot of the Hugging Face cache, whose files are links to blobs", async () => {
  const { modelHash } = await openModel(dir);
  const repository = join(dir, "models--someone--something");
  const snapshot = join(repository, "snapshots", "0123abcd");
  await mkdir(join(repository, "blobs"), { recursive: true });
  await mkdir(snapshot, { recursive: true });
  for (const [i, file] of [FIRST, SECOND, INDEX, "config.json"].entries()) {
    await rename(join(dir, file), join(repository, "blobs", `blob${i}`));
    await symlink(join("../../blobs", `blob${i}`), join(snapshot, file));
  }
  const source = await openModel(snapshot);
  assert.equal(source.modelHash, modelHash);
  assert.equal(source.header.tensors.get(Object.keys(weightMap)[0]!)?.file, "blobs/blob0");
});

for (const file of [
  "../weights.safetensors",
  "/etc/passwd",
  "a/b.safetensors",
  "..",
  ".",
  "",
  "a\\b",
  "a\0b",
  7,
  null,
]) {
  test(`an index that names the file ${JSON.stringify(file)}`, async () => {
    await writeIndex({ ...weightMap, "transformer.wte.weight": file });
    await refuses(dir, "data_loss", /not the name of a file beside it/);
  });
}
test("a shard that is a link out of the folder", async () => {
  const outside = await mkdtemp(join(tmpdir(), "gradpool-outside-"));
  try {
    await rename(join(dir, FIRST), join(outside, FIRST));
    await symlink(join(outside, FIRST), join(dir, FIRST));
    await refuses(dir, "permission_denied", /is a link out of its folder/);
  } finally {
    await rm(outside, { recursive: true });
  }
});
test("a shard that is a folder", async () => {
  await unlink(join(dir, FIRST));
  await mkdir(join(dir, FIRST));
  await refuses(dir, "permission_denied", /is not a regular file/);
});
test("a missing shard", async () => {
  await unlink(join(dir, SECOND));
  await refuses(dir, "not_found", /has no model-00002/);
});
test("a tensor that its shard lacks", async () => {
  await writeIndex({ ...weightMap, extra: FIRST });
  const { notes } = await openModel(dir);
  assert.match(notes.join(), /does not use: "extra"/, "nothing needs it");
  const first = readSafetensors(await readFile(join(dir, FIRST))).tensors;
  const [name = ""] = [...first.keys()];
  first.delete(name);
  await writeFile(join(dir, FIRST), writeSafetensors(first));
  await refuses(dir, "data_loss", new RegExp(`lacks "${name}"`));
});
test("a tensor in two shards", async () => {
  const first = readSafetensors(await readFile(join(dir, FIRST))).tensors;
  const { tensors } = readSafetensors(await readFile(join(dir, SECOND)));
  const [name, tensor] = [...first][0]!;
  await writeFile(join(dir, SECOND), writeSafetensors(new Map([...tensors, [name, tensor]])));
  await refuses(dir, "data_loss", /which the index does not place there/);
});
test("an index without a weight_map, or of many files", async () => {
  for (const map of [undefined, null, [], {}, "x"]) {
    await writeIndex(map);
    await refuses(dir, "data_loss", /weight_map/);
  }
  await writeIndex(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`t${i}`, `f${i}`])));
  await refuses(dir, "data_loss", /more than 10000 files/);
});
test("any mutation of the index gives a typed error or the same model", async () => {
  const good = await readFile(join(dir, INDEX), "utf8");
  const { modelHash } = await openModel(dir);
  const edit = fc.record({
    at: fc.nat(good.length),
    remove: fc.nat(8),
    insert: fc.constantFrom("", '"', "{", "}", "..", "/", ":", ",", "[[", "\\u0000", "null", "x"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      let text = good;
      for (const { at, remove, insert } of edits) text = text.slice(0, at) + insert + text.slice(at + remove);
      await writeFile(join(dir, INDEX), text);
      const source = await openModel(dir).catch((error: unknown) => {
        assert.equal((error as Error).name, "GradpoolError", String(error));
        return undefined;
      });
      if (source) assert.equal(source.modelHash, modelHash);
    }),
    { numRuns: 200 },
  );
});
