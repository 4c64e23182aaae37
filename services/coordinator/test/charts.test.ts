/** TensorBoard's event file: each step once, however often a run was resumed. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { RunState } from "@gradpool/rpc";
import { EVENT_FILE, eventFile } from "@gradpool/tensorboard";
import { durableWorld, World, type Ended, type RecipeChanges } from "./world.js";

const RECIPE: RecipeChanges = { learningRate: 1e-2, seed: 3, gradientAccumulation: 3, epochs: 2, saveEvery: 1 };

function assertCompleted({ run }: Ended): number {
  assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
  return (run.startedAt ?? assert.fail()).getTime();
}

describe("a run's event file", { timeout: 240_000 }, () => {
  it("holds its steps and evaluations at their recorded times", async () => {
    await using world = await World.start();
    await world.trainer();
    const held = world.rows(3, "held-out.jsonl");
    const ended = await world.train(world.spec({ evalDataset: [held] }, { ...RECIPE, evalEvery: 2 }));
    const startMs = assertCompleted(ended);
    assert.ok(ended.evaluations.length > 1);
    const expected = eventFile(ended.steps, ended.evaluations, startMs);
    assert.deepEqual(new Uint8Array(world.output("output", EVENT_FILE)), expected);
  });

  it("holds what it inherited from an earlier run, before its own start, once", async () => {
    await using world = await World.start();
    await world.trainer();
    const spec = { ...world.spec({}, RECIPE), resumeFrom: "latest" };
    const runId = await world.submit(spec);
    await world.watch(runId, ({ checkpoints }) => checkpoints.length > 0);
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
    const ended = await world.train(spec);
    const { steps, run } = ended;
    const taken = run.resumedFrom?.step ?? 0;
    assert.ok(taken > 0);
    const before = steps.slice(0, taken).reduce((sum, { seconds }) => sum + seconds, 0);
    const expected = eventFile(steps, [], assertCompleted(ended) - 1000 * before);
    assert.deepEqual(new Uint8Array(world.output("output", EVENT_FILE)), expected);
  });

  it("is the same when the coordinator died in between", async () => {
    await using world = await durableWorld();
    await world.trainer();
    const runId = await world.submit(world.spec({}, RECIPE));
    await world.watch(runId, ({ checkpoints }) => checkpoints.length > 0);
    await world.restartCoordinator();
    await world.trainer();
    const ended = await world.watch(runId);
    const expected = eventFile(ended.steps, [], assertCompleted(ended));
    assert.deepEqual(new Uint8Array(world.output("output", EVENT_FILE)), expected);
  });
});
