/** Whole rows packed into blocks (--packing bfd) through all services. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import { fingerprint, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";
import type { Recipe } from "@gradpool/rpc";

test("documents that do not see each other: on any trainers, with dropout, recomputed or continued, the same bytes", async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(60);
  const heldOut = await workspace.dataset(10);
  await using stack = await Stack.start({ trainers: 1 });
  const train = async (name: string, changes: Partial<Recipe> = {}, resumeFrom = "") => {
    const packing = { packing: true, packingStrategy: "bfd", maxLength: 96, shuffleBuffer: 16 };
    const spec = tinyRun(dataset, workspace.path(name), { ...packing, evalEvery: 2, ...changes });
    await stack.train({ ...spec, evalDataset: [heldOut], resumeFrom });
    return fingerprint(workspace.path(name));
  };
  const one = await train("one");
  assert.ok(one.losses.length >= 3);
  assert.ok(one.evaluations && one.evaluations.length > 1);
  const wrapped = await train("wrapped", { packingStrategy: "wrapped" });
  assert.notEqual(wrapped.adapter, one.adapter);

  await stack.addTrainer(2);
  assert.deepEqual(await train("two"), one);
  assert.deepEqual(
    await train("recomputed", { gradientCheckpointing: true, saveEvery: 1, keepLastNCheckpoints: 0 }),
    one,
  );
  const checkpoint = (await readdir(workspace.path("recomputed"))).find((name) => name.endsWith("-step2"));
  assert.ok(checkpoint);
  assert.deepEqual(await train("continued", {}, workspace.path("recomputed", checkpoint)), one);
});
