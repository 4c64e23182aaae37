/** TensorBoard's event file: each step once, however often a run was resumed. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { concat, RunState } from "@gradpool/rpc";
import { EVENT_FILE, eventRecords } from "@gradpool/tensorboard";
import { Charts } from "../src/runs/charts.js";
import { durableWorld, World, type Ended, type RecipeChanges } from "./world.js";

/** Instead of drawing, this says when it began and ended, fails, or never ends, as the title says. */
const WORKER = new URL("./charts-test-worker.js", import.meta.url);
const titled = (title: string) => ({ title, steps: [], evaluations: [] });

const eventFile = (...of: Parameters<typeof eventRecords>) => concat([...eventRecords(...of)]);

describe("the queue of charts", { timeout: 60_000 }, () => {
  it("draws for one run at a time, in order", async () => {
    const charts = new Charts({ worker: WORKER });
    const { signal } = new AbortController();
    const drawn = await Promise.all([1, 2, 3, 4].map((n) => charts.draw(titled(String(n)), signal)));
    const times = drawn.flatMap((files) => [...files.values()].map((bytes) => BigInt(new TextDecoder().decode(bytes))));
    assert.equal(times.length, 8);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => Number(a - b)),
    );
  });

  it("continues after one that fails, takes too long or is stopped", async () => {
    const charts = new Charts({ worker: WORKER, limitMs: 2_000 });
    const stop = new AbortController();
    const { signal } = new AbortController();
    const slow = charts.draw(titled("hang"), signal);
    const stopped = charts.draw(titled("1"), stop.signal);
    const failing = charts.draw(titled("fail"), signal);
    const last = charts.draw(titled("2"), signal);
    stop.abort(new Error("cancelled"));
    await assert.rejects(stopped, /cancelled/);
    await assert.rejects(slow, /drawing took more than 2 s/);
    await assert.rejects(failing, /no charts today/);
    assert.equal((await last).size, 2);
  });
});

describe("a run whose charts cannot be drawn", { timeout: 120_000 }, () => {
  it("completes, with its result and TensorBoard's file", async () => {
    await using world = await World.start({
      charts: new Charts({ worker: new URL("./no-such-worker.js", import.meta.url) }),
    });
    await world.trainer();
    const ended = await world.train(world.spec({}, RECIPE));
    const startMs = assertCompleted(ended);
    const files = readdirSync(world.outputDir());
    for (const name of ["adapter_model.safetensors", "metrics.json"]) assert.ok(files.includes(name), name);
    assert.deepEqual(
      files.filter((name) => name.endsWith(".png")),
      [],
    );
    assert.deepEqual(new Uint8Array(world.output("output", EVENT_FILE)), eventFile(ended.steps, [], startMs));
  });
});

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
