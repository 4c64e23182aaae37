/** Weights in eight bits, in the cache: what they are, that processes share them, and that damaged ones are made again. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { int8Weights, openModel, type ModelSource } from "@gradpool/model-source";
import type { Int8Entries, WeightEntry } from "@gradpool/models";
import { readSafetensors, writeSafetensors, type FloatTensor } from "@gradpool/safetensors";
import { ColumnScales, quantizePlain, quantizeTransposed } from "../src/int8-columns.js";
import { GOLDEN_MODEL } from "./support.js";

const BOTH = { precision: "int8", unsigned: false } as const;

let folder: string;
let source: ModelSource;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gradpool-int8-"));
  source = await openModel(GOLDEN_MODEL);
});
after(() => rm(folder, { recursive: true, force: true }));

/** A cache folder of the test's own. */
const cache = (name: string) => join(folder, name);

const bytesOf = async ({ weightsDir }: ModelSource, { file, begin, end }: WeightEntry) =>
  (await readFile(resolve(weightsDir, file))).subarray(begin, end);

/** All that the cache gave, by weight and product. */
async function contents(found: ModelSource): Promise<Record<string, Buffer>> {
  const all: Record<string, Buffer> = {};
  for (const [name, entries] of found.header.int8 ?? []) {
    for (const product of ["plain", "transposed"] as const satisfies (keyof Int8Entries)[]) {
      const matrix = entries[product];
      if (!matrix) continue;
      all[`${name} ${product}`] = await bytesOf(found, matrix.numbers);
      all[`${name} ${product} scales`] = await bytesOf(found, matrix.scales);
    }
  }
  return all;
}

/** W [rows, columns] for x·W: by its definition. */
function expected(w: readonly number[], columns: number): { numbers: number[]; scales: number[] } {
  const scales = Array.from({ length: columns }, (_, column) => {
    const own = w.filter((_, i) => i % columns === column);
    const largest = Math.fround(Math.max(...own.map(Math.abs)) * Math.fround(1 / 127));
    return own.every(Number.isFinite) ? largest : NaN;
  });
  const numbers = w.map((value, i) => {
    const quotient = Math.fround(value / (scales[i % columns] ?? NaN));
    const [below, half] = [Math.floor(quotient), quotient - Math.floor(quotient) === 0.5];
    const rounded = half ? below + (Math.abs(below) % 2) : Math.round(quotient);
    return Math.max(-128, Math.min(127, rounded || 0));
  });
  return { numbers, scales };
}

test("each column has its largest number at ±127: halves, zeros, subnormals, NaN and infinity in it or not", () => {
  const columns = 9;
  const w = Array.from({ length: 70 * columns }, (_, i) => Math.fround(Math.sin(i * 7.3) * 10 ** ((i % columns) - 4)));
  for (const [i, value] of w.entries()) {
    const column = i % columns;
    if (column === 1) w[i] = i < columns ? 127 : (i % 255) - 127 + 0.5;
    if (column === 2) w[i] = 0;
    if (column === 3) w[i] = Math.fround(value * 1e-42);
    if (column === 4 && i > 69 * columns) w[i] = NaN;
    if (column === 5 && i > 69 * columns) w[i] = -Infinity;
  }
  const { numbers, scales } = expected(w, columns);
  assert.ok(numbers.includes(127) && numbers.includes(-127));
  const rows = Float32Array.from(w);
  const found = new ColumnScales(columns);
  for (const at of [0, 64]) found.add(rows.subarray(at * columns, (at + 64) * columns));
  assert.deepEqual([...found.scales], scales);
  assert.deepEqual([...quantizePlain(rows, found.scales)], numbers);

  // The same matrix for the other product: Wᵀ in two pieces, of which neither has whole blocks.
  const height = w.length / columns;
  const turned = Float32Array.from(w, (_, i) => w[(i % height) * columns + Math.floor(i / height)] ?? NaN);
  const matrix = { numbers: new Int8Array(w.length), scales: new Float32Array(columns) };
  quantizeTransposed(turned.subarray(0, 5 * height), height, 0, matrix);
  quantizeTransposed(turned.subarray(5 * height), height, 5, matrix);
  assert.deepEqual([...matrix.scales], scales);
  assert.deepEqual([...matrix.numbers], numbers);
});

test("every linear layer, for the products that the precision needs, of what the file holds", async () => {
  const names = source.model.description.modules.map(({ name }) => `${name}.weight`);
  const { int8: backward } = (await int8Weights(source, { ...BOTH, precision: "int8-backward" }, cache("all"))).header;
  assert.deepEqual(
    [...(backward ?? [])].map(([name, entries]) => [name, Object.keys(entries)]),
    names.map((name) => [name, ["transposed"]]),
  );
  const found = await int8Weights(source, BOTH, cache("all"));
  const all = await contents(found);
  assert.equal(Object.keys(all).length, 4 * names.length);
  const [name = ""] = names;
  const entry = source.header.tensors.get(name) as WeightEntry;
  const stored = await bytesOf(source, entry);
  const w = [...new Float32Array(Uint8Array.from(stored).buffer)];
  const { numbers, scales } = expected(w, entry.shape[1] ?? 0);
  assert.deepEqual([...new Int8Array(Uint8Array.from(all[`${name} plain`] ?? []).buffer)], numbers);
  assert.deepEqual([...new Float32Array(Uint8Array.from(all[`${name} plain scales`] ?? []).buffer)], scales);
  // The weights themselves are where they were.
  assert.deepEqual(await bytesOf(found, found.header.tensors.get(name) as WeightEntry), stored);
  // float32 needs none.
  assert.equal(await int8Weights(source, { ...BOTH, precision: "float32" }, cache("none")), source);
});

test("unsigned numbers are the same plus 128", async () => {
  const [signed, unsigned] = [
    await contents(await int8Weights(source, BOTH, cache("sign"))),
    await contents(await int8Weights(source, { ...BOTH, unsigned: true }, cache("sign"))),
  ];
  for (const [name, bytes] of Object.entries(signed)) {
    const moved = name.endsWith("scales") ? bytes : bytes.map((byte) => byte ^ 0x80);
    assert.deepEqual(unsigned[name], moved, name);
  }
});

test("many at once share one copy, and later ones do not write it again", async () => {
  const made = await Promise.all(Array.from({ length: 5 }, () => int8Weights(source, BOTH, cache("shared"))));
  const folders = await readdir(cache("shared"));
  assert.equal(folders.length, 2, folders.join());
  const times = () =>
    Promise.all(folders.map(async (name) => (await stat(join(cache("shared"), name, "model.safetensors"))).ctimeMs));
  const before = await times();
  const [first, ...others] = await Promise.all(
    [...made, await int8Weights(source, BOTH, cache("shared"))].map(contents),
  );
  for (const other of others) assert.deepEqual(other, first);
  assert.deepEqual(await times(), before);
});

test("a damaged or truncated copy is made again", async () => {
  const sound = await contents(await int8Weights(source, BOTH, cache("damage")));
  const [one = "", other = ""] = await readdir(cache("damage"));
  const path = (name: string, file = "model.safetensors") => join(cache("damage"), name, file);
  const flipped = await readFile(path(one));
  flipped[flipped.length >> 1]! ^= 1;
  const damages = [
    () => writeFile(path(one), flipped),
    () => truncate(path(other), 100),
    () => rm(path(one)),
    () => rm(path(other, "sha256")),
    () => truncate(path(one, "sha256"), 0),
  ];
  for (const damage of damages) {
    await damage();
    const repaired = await Promise.all([1, 2].map(() => int8Weights(source, BOTH, cache("damage"))));
    for (const found of repaired) assert.deepEqual(await contents(found), sound);
    assert.deepEqual((await readdir(cache("damage"))).sort(), [one, other].sort());
  }
});

test("other weights under the same name are another model's", async () => {
  const dir = join(folder, "changed");
  const file = await readFile(join(GOLDEN_MODEL, "model.safetensors"));
  await cp(GOLDEN_MODEL, dir, { recursive: true });
  const first = await contents(await int8Weights(await openModel(dir), BOTH, cache("changed-cache")));
  const { tensors } = readSafetensors(file);
  const doubled = new Map(
    [...tensors].map(([name, { shape, data }]): [string, FloatTensor] => [
      name,
      { shape, data: new Float32Array(Uint8Array.from(data).buffer).map((value) => 2 * value) },
    ]),
  );
  await writeFile(join(dir, "model.safetensors"), writeSafetensors(doubled, { format: "pt" }));
  const second = await contents(await int8Weights(await openModel(dir), BOTH, cache("changed-cache")));
  for (const [name, bytes] of Object.entries(first))
    assert.equal(bytes.equals(second[name] ?? bytes), !name.endsWith("scales"), name);
});

test("where the cache cannot be written, the error says what to do", async () => {
  await writeFile(cache("file"), "");
  await assert.rejects(int8Weights(source, BOTH, cache("file")), (error) => {
    assert.ok(error instanceof GradpoolError);
    assert.match(
      error.message,
      /^the cache folder \S+ cannot be written \(\w+\); make it writable, or set GRADPOOL_HOME$/,
    );
    return true;
  });
});
