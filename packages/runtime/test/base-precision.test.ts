/** What products with the base in eight bits do to loss and gradients, on the demo's model: little, and the same in every way to compute them. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { initAdapter, type AdapterTensors } from "@gradpool/adapter";
import { openModel, weightNorms, type ModelSource } from "@gradpool/model-source";
import { selectTargets, type LinearModule, type TrainingOptions } from "@gradpool/models";
import { TrainingSession, type Base, type Batch, type TrainingResult } from "@gradpool/runtime";

const MODEL = fileURLToPath(new URL("../../../../models/tiny-coder", import.meta.url));
const LLAMA = fileURLToPath(new URL("../../../../integration-tests/fixtures/golden/llama-gqa/model", import.meta.url));
const KEY = { probability: 0.1, seed: 5, step: 9, microBatch: 1 };

let source: ModelSource;
let modules: LinearModule[];
before(async () => {
  source = await openModel(MODEL);
  // Others are frozen alone.
  modules = selectTargets(source.model.description, ["c_attn", "mlp.c_proj"]);
});

const [rows, rowLength] = [3, 40];
const ids = Int32Array.from({ length: rows * rowLength }, (_, i) => (i * 7919 + 13) % 4096);
const BATCH: Batch = { rows, rowLength, ids, lengths: [40, 31, 22] };

async function run(
  options: Partial<TrainingOptions> & { threads?: number; useDora?: boolean; keepHalves?: boolean; cacheDir?: string },
  batch = BATCH,
): Promise<TrainingResult> {
  const { useDora = false, keepHalves = false, threads = 1, dropout = false, ...others } = options;
  const targets = modules.map((module) => ({ ...module, useDora }));
  const tensors = initAdapter(targets, 4, 1, useDora ? await weightNorms(source, targets) : undefined);
  for (const [name, { data }] of tensors)
    if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i) / 50));
  const base: Base = { source, targets, padRow: true, keepHalves };
  await using session = await TrainingSession.create(base, { threads, dropout, ...others });
  return await session.run(batch, { tensors, scaling: 4 }, KEY);
}

const flat = (tensors: AdapterTensors) => [...tensors.values()].flatMap(({ data }) => [...data]);

function cosine(a: AdapterTensors, b: AdapterTensors): number {
  const [x, y] = [flat(a), flat(b)];
  const dot = (u: number[], v: number[]) => u.reduce((sum, value, i) => sum + value * (v[i] ?? NaN), 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

for (const kind of [{}, { useDora: true, dropout: true }, { keepHalves: true, dropout: true }]) {
  const name = Object.keys(kind).join(", ") || "LoRA";
  test(`${name}: int8-backward keeps the loss to the bit; both keep the gradient's direction`, async () => {
    const exact = await run(kind);
    const backward = await run({ ...kind, basePrecision: "int8-backward" });
    const both = await run({ ...kind, basePrecision: "int8" });
    assert.equal(backward.lossSum, exact.lossSum);
    assert.notEqual(both.lossSum, exact.lossSum);
    assert.ok(Math.abs(both.lossSum / exact.lossSum - 1) < 5e-3, `${both.lossSum} instead of ${exact.lossSum}`);
    const directions = [backward, both].map(({ gradients }) => cosine(gradients, exact.gradients));
    assert.ok(directions[0]! >= 0.998 && directions[0]! < 1, `int8-backward: ${directions[0]}`);
    assert.ok(directions[1]! >= 0.99, `int8: ${directions[1]}`);
  });
}

test("threads and checkpointing change no bit of an int8 result (I2)", async () => {
  const options = { dropout: true, basePrecision: "int8" } as const;
  const one = await run(options);
  for (const others of [{ threads: 2 }, { threads: 3, gradientCheckpointing: true }])
    assert.deepEqual(await run({ ...options, ...others }), one);
});

test("from the cache come the bits of weights that the graph quantizes itself, whichever way they are stored", async () => {
  const cacheDir = await mkdtemp(join(tmpdir(), "gradpool-int8-"));
  try {
    for (const options of [
      { basePrecision: "int8-backward", keepHalves: true },
      { basePrecision: "int8", useDora: true, dropout: true, gradientCheckpointing: true },
    ] as const) {
      assert.deepEqual(await run({ ...options, cacheDir }), await run(options));
    }
    assert.equal((await readdir(cacheDir)).length, 2);
    // A Llama's weights are [out, in], a GPT-2's [in, out].
    const llama = await openModel(LLAMA);
    const targets = selectTargets(llama.model.description, ["q_proj", "down_proj"]);
    const adapter = { tensors: initAdapter(targets, 4, 1), scaling: 4 };
    const batch = { rows: 1, rowLength: 7, ids: Int32Array.of(1, 5, 9, 33, 2, 60, 7), lengths: [7] };
    const results = [];
    for (const cache of [{ cacheDir }, {}]) {
      const settings = { threads: 1, dropout: false, basePrecision: "int8", ...cache } as const;
      await using session = await TrainingSession.create({ source: llama, targets, padRow: false }, settings);
      results.push(await session.run(batch, adapter));
    }
    assert.deepEqual(results[0], results[1]);
    assert.equal((await readdir(cacheDir)).length, 4);
  } finally {
    await rm(cacheDir, { recursive: true, force: true });
  }
});

test("rows apart give nearly the sums of rows together (I1): a last bit may decide how a number is rounded", async () => {
  const options = { basePrecision: "int8" } as const;
  const together = await run(options);
  const sums: AdapterTensors = new Map();
  let lossSum = 0;
  for (const [row, length] of BATCH.lengths.entries()) {
    const own = ids.slice(row * rowLength, (row + 1) * rowLength);
    const apart = await run(options, { rows: 1, rowLength, ids: own, lengths: [length] });
    lossSum += apart.lossSum;
    for (const [name, gradient] of apart.gradients) {
      const sum = sums.get(name)?.data;
      if (sum) gradient.data.forEach((value, i) => (sum[i]! += value));
      else sums.set(name, gradient);
    }
  }
  assert.ok(Math.abs(lossSum / together.lossSum - 1) < 1e-5, `${lossSum} instead of ${together.lossSum}`);
  const direction = cosine(sums, together.gradients);
  assert.ok(direction > 0.9995, `${direction}`);
});

test("NaN in the adapter reaches the loss and the gradients", async () => {
  const targets = modules;
  const tensors = initAdapter(targets, 4, 1);
  const [first = assert.fail()] = [...tensors].filter(([name]) => name.includes("lora_B")).map(([, { data }]) => data);
  first[0] = NaN;
  const options = { threads: 1, dropout: false, basePrecision: "int8" } as const;
  await using session = await TrainingSession.create({ source, targets, padRow: false }, options);
  const { lossSum, gradients } = await session.run(BATCH, { tensors, scaling: 4 });
  assert.ok(Number.isNaN(lossSum));
  for (const [name, { data }] of gradients) assert.ok(data.some(Number.isNaN), name);
});
