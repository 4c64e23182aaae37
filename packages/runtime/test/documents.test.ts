/**
 * Rows that hold several documents, which do not see each other: losses as transformers and TRL compute them
 * (fixtures/make_documents.py, with the versions in documents.json), and gradients as of the same documents alone.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { initAdapter, type AdapterTensors } from "@gradpool/adapter";
import { openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { writeSafetensors } from "@gradpool/safetensors";
import { LossSession, TrainingSession, type Adapter, type Base, type Batch } from "../src/index.js";
import { noise } from "./noise.js";

interface Fixture {
  documents: number[][];
  rows: number[][];
  /** −100 where a token does not count. */
  labels: number[][];
  cases: { name: string; config: string; weights: Record<string, number[]>; bfd: number; wrapped: number }[];
}

const fixture = new URL("../../test/fixtures/documents.json", import.meta.url);
const { documents, rows, labels, cases } = JSON.parse(await readFile(fixture, "utf8")) as Fixture;

/** Kernels of two libraries in float32. */
const TOLERANCE = 2e-5;

/** Rows of these tokens and labels, padded with token 0. */
function batchOf(ids: readonly number[][], counts: readonly number[][], documentLengths: number[] = []): Batch {
  const rowLength = Math.max(...ids.map(({ length }) => length));
  const padded = (row: readonly number[]) => [...row, ...Array.from({ length: rowLength - row.length }, () => 0)];
  const mask = counts.map((row) => padded(row.map((label, i) => (i > 0 && label !== -100 ? 1 : 0))));
  return {
    ...{ rows: ids.length, rowLength, ids: Int32Array.from(ids.flatMap(padded)) },
    ...{ lengths: ids.map(({ length }) => length), targetMask: Uint8Array.from(mask.flat()), documentLengths },
  };
}

/** The documents' first tokens do not count. */
function packedBatch(ids: readonly number[][], counts = labels): Batch {
  const starts = documents.map((lengths) => lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0)));
  const counted = counts.map((row, r) => row.map((label, i) => (starts[r]!.includes(i) ? -100 : label)));
  return batchOf(ids, counted, documents.flat());
}

/** Each document as a row of its own. */
function aloneBatch(): Batch {
  const cut = (all: readonly number[][]) =>
    all.flatMap((row, r) => {
      let start = 0;
      return documents[r]!.map((length) => row.slice(start, (start += length)));
    });
  return batchOf(cut(rows), cut(labels));
}

async function withModel(
  { config, weights }: Fixture["cases"][number],
  use: (source: ModelSource) => Promise<void>,
  changes: object = {},
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "documents-"));
  try {
    const isNorm = (name: string) => name.endsWith("weight") && /norm|\.ln_/.test(name);
    const tensors = Object.entries(weights).map(
      ([name, shape]) => [name, noise([name, isNorm(name) ? 1 : 0, shape])] as const,
    );
    await writeFile(join(dir, "model.safetensors"), writeSafetensors(new Map(tensors)));
    await writeFile(join(dir, "config.json"), JSON.stringify({ ...(JSON.parse(config) as object), ...changes }));
    await use(await openModel(dir));
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** All of a model's linear layers, and an adapter whose B is not zero. */
function adapted(source: ModelSource): { base: Base; adapter: Adapter } {
  const targets = selectTargets(source.model.description, ["all-linear"]);
  const tensors = initAdapter(targets, 4, 1);
  for (const [name, { data }] of tensors) {
    if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i + 1) / 20));
  }
  return { base: { source, targets, padRow: false, documents: true }, adapter: { tensors, scaling: 2 } };
}

const bits = (tensors: AdapterTensors) => [...tensors].map(([name, { data }]) => [name, ...data]);

suite("losses of packed documents as transformers and TRL compute them", () => {
  for (const one of cases) {
    test(one.name, () =>
      withModel(one, async (source) => {
        const base = { source, targets: [], padRow: false };
        await using apart = await LossSession.create({ ...base, documents: true }, { threads: 1 });
        const { lossSum, targetTokens } = await apart.run(packedBatch(rows));
        assert.ok(Math.abs(lossSum / targetTokens / one.bfd - 1) < TOLERANCE, `${lossSum / targetTokens}`);
        await using together = await LossSession.create(base, { threads: 1 });
        const joined = await together.run(batchOf(rows, labels));
        assert.ok(Math.abs(joined.lossSum / joined.targetTokens / one.wrapped - 1) < TOLERANCE);
        await assert.rejects(together.run(packedBatch(rows)), /single texts/);
      }),
    );
  }
});

suite("gradients of packed documents", () => {
  for (const one of cases) {
    test(`are those of the same documents alone, recomputed or not, on any threads: ${one.name}`, () =>
      withModel(one, async (source) => {
        const { base, adapter } = adapted(source);
        await using plain = await TrainingSession.create({ ...base, documents: false }, { threads: 1, dropout: false });
        const alone = await plain.run(aloneBatch(), adapter);
        const results = [];
        for (const [threads, gradientCheckpointing] of [
          [1, false],
          [2, false],
          [1, true],
        ] as const) {
          await using session = await TrainingSession.create(base, { threads, dropout: false, gradientCheckpointing });
          results.push(await session.run(packedBatch(rows), adapter));
        }
        const [packed, ...others] = results;
        assert.equal(packed!.targetTokens, alone.targetTokens);
        assert.ok(Math.abs(packed!.lossSum / alone.lossSum - 1) < TOLERANCE);
        for (const [name, { data }] of alone.gradients) {
          const largest = Math.max(...data.map(Math.abs));
          const found = packed!.gradients.get(name)!.data;
          assert.ok(largest > 0 && data.every((x, i) => Math.abs(x - found[i]!) < 1e-4 * largest), name);
        }
        for (const other of others) assert.deepEqual(bits(other.gradients), bits(packed!.gradients));
      }));
  }
});

test("nothing of another document reaches a document's loss or gradients, with every dropout", () => {
  const one = cases.find(({ name }) => name === "gpt2")!;
  const dropouts = { embd_pdrop: 0.1, attn_pdrop: 0.2, resid_pdrop: 0.1 };
  return withModel(
    one,
    async (source) => {
      const { base, adapter } = adapted(source);
      const options = { threads: 1, dropout: true, modelDropout: true };
      await using session = await TrainingSession.create(base, options);
      const key = { probability: 0.1, seed: 3, step: 2, microBatch: 0 };
      // Only the second document of the first row counts: tokens 17 to 25.
      const counts = rows.map((row, r) => row.map((id, i) => (r === 0 && i > 17 && i < 26 ? id : -100)));
      const changed = rows.map((row, r) => row.map((id, i) => (r === 0 && i >= 17 && i < 26 ? id : (id + 5) % 61)));
      const before = await session.run(packedBatch(rows, counts), adapter, key);
      const after = await session.run(packedBatch(changed, counts), adapter, key);
      assert.equal(before.targetTokens, 8);
      assert.equal(after.lossSum, before.lossSum);
      for (const [name, { data }] of before.gradients) {
        assert.ok(
          data.some((x) => x !== 0),
          name,
        );
        assert.deepEqual(after.gradients.get(name)!.data, data, name);
      }
      const other = await session.run(packedBatch(rows, counts), adapter, { ...key, step: 3 });
      assert.notEqual(other.lossSum, before.lossSum);
    },
    dropouts,
  );
});
