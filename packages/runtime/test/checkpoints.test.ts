/**
 * Losses of small models as transformers computes them, for config.json in many forms and weights under many names
 * (fixtures/make_checkpoints.py, with the versions in checkpoints.json).
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { GradpoolError } from "@gradpool/errors";
import { modelPlaces } from "@gradpool/hub";
import { float16Weights, openModel, type ModelSource } from "@gradpool/model-source";
import { writeSafetensors } from "@gradpool/safetensors";
import { LossSession } from "../src/index.js";
import { noise, type Weight } from "./noise.js";

interface Checkpoints {
  batch: number[][];
  weights: Record<string, Weight>[];
  cases: { name: string; config: string; weights: number; loss: number; batch?: number[][] }[];
}

const fixture = new URL("../../test/fixtures/checkpoints.json", import.meta.url);
const { batch: usual, weights, cases } = JSON.parse(await readFile(fixture, "utf8")) as Checkpoints;

/** Kernels of two libraries in float32. */
const TOLERANCE = 2e-5;

/** What is refused, by the reason. */
const REFUSED: [RegExp, RegExp][] = [
  [/(hidden_act|activation_function) (mish|tanh)$/, /is "(mish|tanh)", but gradpool supports/],
  [/dynamic, factor 1, beyond/, /beyond the model's 32 positions/],
  [/longrope of another length/, /short_factor is \[1\], but gradpool supports a list of \d numbers/],
];

async function lossOf(source: ModelSource, batch: number[][]): Promise<number> {
  const rowLength = Math.max(...batch.map((row) => row.length));
  const { maxPositions } = source.model.description;
  if (rowLength > maxPositions) {
    throw new GradpoolError("invalid_argument", `${rowLength} is beyond the model's ${maxPositions} positions`);
  }
  await using session = await LossSession.create({ source, targets: [], padRow: false }, { threads: 1 });
  const ids = Int32Array.from(batch.flat());
  const lengths = batch.map((row) => row.length);
  const { lossSum, targetTokens } = await session.run({ rows: batch.length, rowLength, ids, lengths });
  return lossSum / targetTokens;
}

test("a torch file of odd weights, and of entries that no model needs", async () => {
  const folder = fileURLToPath(new URL("../../test/fixtures/odd_weights", import.meta.url));
  const { loss, batch, unused } = JSON.parse(await readFile(join(folder, "expected.json"), "utf8")) as {
    loss: number;
    batch: number[][];
    unused: string[];
  };
  const home = await mkdtemp(join(tmpdir(), "odd-weights-"));
  try {
    await assert.rejects(
      openModel(folder),
      /is stored (as F64|with strides).*needs a cache folder .*; set GRADPOOL_HOME/,
    );
    const places = modelPlaces({ GRADPOOL_HOME: home });
    const source = await openModel(folder, places);
    const ours = await lossOf(source, batch);
    assert.ok(Math.abs(ours / loss - 1) < TOLERANCE, `${ours} instead of ${loss}`);
    for (const name of unused.slice(0, 3)) assert.match(source.notes.join(), new RegExp(`"${name}"`));
    // In float16 as well: what is not needed is not written.
    const half = await float16Weights(source, places.cacheDir);
    assert.ok(Math.abs((await lossOf(half, batch)) / loss - 1) < 1e-2);
  } finally {
    await rm(home, { recursive: true });
  }
});

suite("losses as transformers computes them", () => {
  for (const { name, config, weights: place, loss, batch = usual } of cases) {
    test(name, async () => {
      const dir = await mkdtemp(join(tmpdir(), "checkpoint-"));
      try {
        const tensors = Object.entries(weights[place] as Record<string, Weight>);
        const file = writeSafetensors(new Map(tensors.map(([tensor, weight]) => [tensor, noise(weight)])));
        await writeFile(join(dir, "model.safetensors"), file);
        await writeFile(join(dir, "config.json"), config);
        const reason = REFUSED.find(([refused]) => refused.test(name))?.[1];
        if (reason) return await assert.rejects(async () => lossOf(await openModel(dir), batch), reason);
        const ours = await lossOf(await openModel(dir), batch);
        assert.ok(Math.abs(ours / loss - 1) < TOLERANCE, `${ours} instead of ${loss}`);
      } finally {
        await rm(dir, { recursive: true });
      }
    });
  }
});
