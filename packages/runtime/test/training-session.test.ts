/** The bits of a micro-batch's result depend on nothing but its inputs (I2), on the demo's model. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { initAdapter, type AdapterTensors } from "@gradpool/adapter";
import { openModel, weightNorms, type ModelSource } from "@gradpool/model-source";
import { selectTargets, type LinearModule } from "@gradpool/models";
import { LogitsSession, LossSession, TrainingSession, type Adapter, type Batch } from "@gradpool/runtime";

const MODEL = fileURLToPath(new URL("../../../../models/tiny-coder", import.meta.url));

let source: ModelSource;
let targets: LinearModule[];
before(async () => {
  source = await openModel(MODEL);
  targets = selectTargets(source.model.description, ["c_attn", "c_proj"]);
});

/** An adapter whose B is not zero, so that every gradient shows up. */
function adapter(r: number, seed = 1): Adapter {
  const tensors = initAdapter(targets, r, seed);
  for (const [name, { data }] of tensors)
    if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i + seed) / 50));
  return { tensors, scaling: 4 };
}

function batch(rows: number, rowLength: number, shortest = rowLength): Batch {
  const ids = Int32Array.from({ length: rows * rowLength }, (_, i) => (i * 7919 + 13) % 4096);
  const lengths = Array.from({ length: rows }, (_, row) => Math.max(shortest, rowLength - row * 3));
  return { rows, rowLength, ids, lengths };
}

const bits = (tensors: AdapterTensors) =>
  [...tensors].map(([name, { data }]) => [
    name,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
  ]);

test("any number of threads gives the same bits, with dropout", async () => {
  const results = [];
  for (const threads of [1, 2, 3]) {
    await using session = await TrainingSession.create({ source, targets, padRow: true }, { threads, dropout: true });
    const key = { probability: 0.1, seed: 5, step: 9, microBatch: 1 };
    const shapes = [batch(3, 40, 2), batch(1, 2), batch(8, 128), batch(5, 77, 20)];
    const ofShapes = [];
    for (const shape of shapes) {
      const { lossSum, gradients } = await session.run(shape, adapter(8), key);
      assert.ok(Number.isFinite(lossSum));
      ofShapes.push([lossSum, bits(gradients)]);
    }
    results.push(ofShapes);
  }
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

test("one session serves all ranks and shapes, whatever came before", async () => {
  const options = { threads: 2, dropout: false };
  const base = { source, targets, padRow: false };
  await using shared = await TrainingSession.create(base, options);
  for (const [r, rows, rowLength] of [
    [8, 2, 64],
    [3, 5, 17],
    [16, 1, 128],
    [8, 2, 64],
  ] as const) {
    // prettier-ignore
    await using fresh = await TrainingSession.create(base, options);
    const alone = await fresh.run(batch(rows, rowLength), adapter(r));
    const together = await shared.run(batch(rows, rowLength), adapter(r));
    assert.equal(together.lossSum, alone.lossSum);
    assert.deepEqual(bits(together.gradients), bits(alone.gradients));
  }
});

test("padding changes neither loss nor gradients beyond rounding", async () => {
  await using session = await TrainingSession.create({ source, targets, padRow: true }, { threads: 1, dropout: false });
  const row = { rows: 1, rowLength: 9, ids: Int32Array.from({ length: 9 }, (_, i) => 100 + i), lengths: [9] };
  const padded = { rows: 1, rowLength: 30, ids: new Int32Array(30).fill(4096), lengths: [9] };
  padded.ids.set(row.ids);
  const a = await session.run(row, adapter(4));
  const b = await session.run(padded, adapter(4));
  assert.equal(a.targetTokens, 8);
  assert.equal(b.targetTokens, 8);
  assert.ok(Math.abs(a.lossSum / b.lossSum - 1) < 1e-6);
  for (const [name, { data }] of a.gradients) {
    const other = b.gradients.get(name)?.data ?? new Float32Array();
    const largest = Math.max(...data.map(Math.abs));
    assert.ok(
      data.every((value, i) => Math.abs(value - other[i]!) <= 1e-5 * largest),
      name,
    );
  }
});

test("rows without a target give a loss and gradients of zero", async () => {
  await using session = await TrainingSession.create(
    { source, targets, padRow: false },
    { threads: 1, dropout: false },
  );
  const { lossSum, targetTokens, gradients } = await session.run(
    { rows: 2, rowLength: 1, ids: Int32Array.of(5, 6), lengths: [1, 0] },
    adapter(2),
  );
  assert.equal(lossSum, 0);
  assert.equal(targetTokens, 0);
  for (const { data } of gradients.values()) assert.ok(data.every((value) => value === 0));
});

test("loss and logits sessions agree with training", async () => {
  const base = { source, targets, padRow: false };
  const [example, lora] = [batch(1, 20), adapter(8)];
  await using training = await TrainingSession.create(base, { threads: 1, dropout: false });
  await using loss = await LossSession.create(base, { threads: 1 });
  await using logits = await LogitsSession.create(base, { threads: 1 });
  const { lossSum } = await training.run(example, lora);
  assert.ok(Math.abs((await loss.run(example, lora)).lossSum / lossSum - 1) < 1e-6);

  const ids = Array.from(example.ids);
  const { shape, data } = await logits.run(
    ids.slice(0, -1),
    ids.slice(0, -1).map((_, i) => i),
    lora,
  );
  assert.deepEqual(shape, [19, 4096]);
  let sum = 0;
  for (let row = 0; row < 19; row++) {
    const scores = data.subarray(row * 4096, (row + 1) * 4096);
    const largest = scores.reduce((a, b) => Math.max(a, b));
    const z = scores.reduce((total, score) => total + Math.exp(score - largest), 0);
    sum += Math.log(z) + largest - scores[ids[row + 1]!]!;
  }
  assert.ok(Math.abs(sum / lossSum - 1) < 1e-5);
});

test("DoRA starts at the base's loss; all sessions agree, and any number of threads gives the same bits", async () => {
  const dora = targets.map((target) => ({ ...target, useDora: true }));
  const base = { source, targets: dora, padRow: false };
  const start = { tensors: initAdapter(dora, 8, 1, await weightNorms(source, dora)), scaling: 4 };
  const [example, further] = [batch(1, 20), structuredClone(start)];
  for (const [name, { data }] of further.tensors) {
    if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i) / 50));
    if (name.includes("magnitude")) data.forEach((value, i) => (data[i] = value * (1 + Math.sin(i) / 9)));
  }
  await using loss = await LossSession.create(base, { threads: 1 });
  await using plain = await LossSession.create({ ...base, targets: [] }, { threads: 1 });
  const untouched = (await plain.run(example)).lossSum;
  assert.ok(Math.abs((await loss.run(example, start)).lossSum / untouched - 1) < 1e-6);
  const moved = (await loss.run(example, further)).lossSum;
  assert.ok(Math.abs(moved / untouched - 1) > 1e-4);
  const results = [];
  for (const threads of [1, 3]) {
    await using training = await TrainingSession.create(base, { threads, dropout: true });
    const { lossSum } = await training.run(example, further, { probability: 0, seed: 5, step: 9, microBatch: 1 });
    assert.ok(Math.abs(lossSum / moved - 1) < 1e-6);
    const key = { probability: 0.1, seed: 5, step: 9, microBatch: 1 };
    const { lossSum: dropped, gradients } = await training.run(batch(3, 40, 2), further, key);
    results.push([dropped, bits(gradients)]);
  }
  assert.deepEqual(results[1], results[0]);
});
