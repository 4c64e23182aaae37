/** Small micro-batches that are joined (--pass_tokens) through all services: the same steps (I1), and the same bits on any trainers (I2). */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fingerprint, Stack, tinyRun, TOLERANCE, Workspace } from "@gradpool/integration-tests";
import type { Recipe, RunSpec } from "@gradpool/rpc";

const PASS_TOKENS = 200;

const FORMS: Record<string, Partial<Recipe>> = {
  rows: {},
  "rows, recomputed": { gradientCheckpointing: true },
  "whole documents in blocks": { packing: true, packingStrategy: "bfd" },
};

function assertClose(actual: number, expected: number, relative: number): void {
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual} instead of ${expected}`);
}

test("joined micro-batches make the steps that they make one by one", async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(44);
  const heldOut = await workspace.dataset(10);
  await using stack = await Stack.start({ trainers: 1 });
  /** Micro-batches that trainers computed so far. */
  const computed = async () =>
    (await stack.pool.listTrainers({})).trainers.reduce((sum, { microBatches }) => sum + Number(microBatches), 0);
  const train = async (name: string, changes: Partial<Recipe>, dropout = 0, more: Partial<RunSpec> = {}) => {
    const before = await computed();
    const recipe = { batchSize: 1, gradientAccumulation: 6, evalEvery: 3, ...changes };
    const spec = tinyRun(dataset, workspace.path(name), recipe, { dropout });
    await stack.train({ ...spec, evalDataset: [heldOut], ...more });
    return { ...(await fingerprint(workspace.path(name))), computed: (await computed()) - before };
  };

  for (const [form, changes] of Object.entries(FORMS)) {
    const apart = await train(`${form}, apart`, changes);
    const joined = await train(`${form}, joined`, { ...changes, passTokens: PASS_TOKENS });
    // Those of evaluations, about half, are not joined.
    assert.ok(joined.computed <= 0.75 * apart.computed, `${joined.computed} tasks instead of ${apart.computed}`);
    assert.equal(joined.losses.length, apart.losses.length);
    for (const [i, [loss = NaN, gradNorm = NaN]] of joined.losses.entries()) {
      assertClose(loss, apart.losses[i]?.[0] ?? NaN, TOLERANCE.loss);
      assertClose(gradNorm, apart.losses[i]?.[1] ?? NaN, TOLERANCE.gradient);
    }
    for (const [i, [, loss = NaN]] of (joined.evaluations ?? []).entries()) {
      assertClose(loss, apart.evaluations?.[i]?.[1] ?? NaN, TOLERANCE.loss);
    }
  }

  const random = { passTokens: PASS_TOKENS, shuffleBuffer: 16, epochs: 2 };
  const one = await train("one trainer", random, 0.1);
  await stack.addTrainer(2);
  assert.deepEqual({ ...(await train("two trainers", random, 0.1)), computed: one.computed }, one);
  await train("saved", { ...random, saveEvery: 1, keepLastNCheckpoints: 0 }, 0.1);
  const checkpoint = (await readdir(workspace.path("saved"))).find((name) => name.endsWith("-step3"));
  assert.ok(checkpoint);
  const resumeFrom = workspace.path("saved", checkpoint);
  assert.deepEqual({ ...(await train("continued", random, 0.1, { resumeFrom })), computed: one.computed }, one);
  await assert.rejects(
    train("otherwise", { ...random, passTokens: 0 }, 0.1, { resumeFrom }),
    /pass_tokens was 200, now 0; make them the same/,
  );
});
