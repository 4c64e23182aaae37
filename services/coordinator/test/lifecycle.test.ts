/** Pausing, resuming, and coordinators that restart: none of it changes the result. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { IS_LONG } from "@gradpool/integration-tests";
import { ListRunsRequest, RunState, type Run } from "@gradpool/rpc";
import { assertSame, trainAlone } from "./same-bits.js";
import { failure } from "./support.js";
import { durableWorld, World, type RecipeChanges } from "./world.js";

const RECIPE: RecipeChanges = { learningRate: 1e-2, seed: 3, gradientAccumulation: 3, epochs: 3 };
const SHUFFLED: RecipeChanges = { ...RECIPE, shuffleBuffer: 3 };
const PACKED: RecipeChanges = { ...RECIPE, packing: true, maxLength: 16 };

const pause = async (world: World, runId: string): Promise<Run | undefined> =>
  (await world.runs.pauseRun({ requestId: randomUUID(), runId })).run;
const resume = async (world: World, runId: string): Promise<Run | undefined> =>
  (await world.runs.resumeRun({ requestId: randomUUID(), runId })).run;

describe("a run that is paused", { timeout: 240_000 }, () => {
  it("is paused, frees its trainers at once, and resumes to the same bits (I2)", async () => {
    await using world = await World.start();
    const alone = await trainAlone(world, "alone", RECIPE);
    const trainer = await world.trainer({ byHand: true });
    const spec = world.spec({ outputDir: world.outputDir("paused") }, RECIPE);
    const runId = await world.submit(spec);
    await trainer.until(() => trainer.tasks.length === 2);
    const [first, second] = trainer.tasks;
    assert.ok(first && second && (await trainer.answer(first)));
    const paused = await pause(world, runId);
    assert.deepEqual([paused?.state, paused?.pausedBecause], [RunState.RUN_STATE_PAUSED, "on request"]);
    await trainer.until(() => trainer.cancelled.length === 1);
    assert.equal(await trainer.answer(second), false);
    // Others are served in the meantime.
    await using other = await world.trainer();
    const next = await world.train({ ...spec, outputDir: world.outputDir("other") });
    assert.equal(next.run.state, RunState.RUN_STATE_COMPLETED);
    assert.ok(!other.tasks.some((task) => task.runId === runId));
    assert.equal((await resume(world, runId))?.state, RunState.RUN_STATE_RUNNING);
    assertSame(world, ["alone", alone], ["paused", await world.watch(runId)]);
  });

  for (const [name, recipe] of Object.entries(IS_LONG ? { RECIPE, SHUFFLED, PACKED } : { PACKED })) {
    it(`may be so after every step, across restarts of the coordinator (I2, ${name})`, async () => {
      await using world = await durableWorld();
      const alone = await trainAlone(world, "alone", recipe);
      await world.trainer();
      const runId = await world.submit(world.spec({ outputDir: world.outputDir("paused") }, recipe));
      for (let step = 1; step < alone.steps.length; step++) {
        await world.watch(runId, ({ steps }) => steps.length >= step);
        await pause(world, runId);
        await world.restartCoordinator();
        const { run } = await world.runs.getRun({ runId });
        // It may have been written to its end when it was paused.
        assert.deepEqual([run?.state, run?.pausedBecause], [RunState.RUN_STATE_PAUSED, "on request"]);
        await resume(world, runId);
        await world.trainer();
      }
      assertSame(world, ["alone", alone], ["paused", await world.watch(runId)]);
    });
  }

  it("may be so while it is being prepared", async () => {
    await using world = await World.start({ ownServices: true });
    const alone = await trainAlone(world, "alone", RECIPE);
    let letGo = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    world.services.tokenizer.beforeInfo = () => held;
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("paused") }, RECIPE));
    await world.watch(runId, ({ run }) => run.preparing === "loading the tokenizer");
    assert.equal((await pause(world, runId))?.state, RunState.RUN_STATE_PAUSED);
    letGo();
    const trainer = await world.trainer();
    await world.watch(runId, ({ run }) => run.totalSteps > 0);
    assert.deepEqual(trainer.tasks, []);
    await resume(world, runId);
    assertSame(world, ["alone", alone], ["paused", await world.watch(runId)]);
  });

  it("can be cancelled, and no longer paused once it has ended", async () => {
    await using world = await World.start();
    const runId = await world.submit(world.spec());
    await pause(world, runId);
    await pause(world, runId);
    const { run } = await world.runs.cancelRun({ requestId: randomUUID(), runId });
    assert.deepEqual([run?.state, run?.pausedBecause], [RunState.RUN_STATE_CANCELLED, ""]);
    await assert.rejects(pause(world, runId), failure("failed_precondition", /has been cancelled already/));
    await assert.rejects(resume(world, runId), failure("failed_precondition", /nothing to resume/));
  });
});

describe("a coordinator that restarts", { timeout: 240_000 }, () => {
  it("resumes its runs where they were, in their order, and knows those that have ended (I4)", async () => {
    await using world = await durableWorld();
    const alone = await trainAlone(world, "alone", RECIPE);
    // Until the restart, no run gets further than this; there is room for what it holds of all three.
    const trainer = await world.trainer({ tasks: 16 });
    trainer.alter = async (answer, { step }) => {
      if (step > 2) await trainer.until(() => trainer.ended);
      return answer;
    };
    const spec = world.spec({}, RECIPE);
    const ids: string[] = [];
    for (const name of ["a", "b", "c"]) ids.push(await world.submit({ ...spec, outputDir: world.outputDir(name) }));
    await Promise.all(ids.map((runId) => world.watch(runId, ({ steps }) => steps.length >= 2)));
    const ended = alone.run.runId;
    await world.restartCoordinator();
    const { runs } = await world.runs.listRuns(ListRunsRequest.create());
    assert.deepEqual(
      runs.map(({ runId }) => runId),
      [...ids.toReversed(), ended],
    );
    assert.deepEqual(runs.at(-1), alone.run);
    const again = await world.watch(ended);
    assert.deepEqual([again.steps, again.checkpoints], [alone.steps, alone.checkpoints]);
    await world.trainer();
    for (const [i, name] of ["a", "b", "c"].entries()) {
      const seen = await world.watch(ids[i] ?? "");
      assertSame(world, ["alone", alone], [name, seen]);
      assert.match(seen.run.notes.join("\n"), /interrupted; resumed after step \d/);
    }
  });

  it("starts a run from scratch that has saved nothing", async () => {
    await using world = await durableWorld({ recoveryMs: 0 });
    const alone = await trainAlone(world, "alone", RECIPE);
    await world.trainer();
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("fresh") }, RECIPE));
    await world.watch(runId, ({ steps }) => steps.length >= 2);
    await world.restartCoordinator();
    await world.trainer();
    assertSame(world, ["alone", alone], ["fresh", await world.watch(runId)]);
  });

  it("shows every step once to a watcher that reconnects", async () => {
    await using world = await durableWorld({ recoveryMs: 0 });
    await world.trainer();
    const runId = await world.submit(world.spec({}, { ...RECIPE, saveEvery: 2 }));
    const before = await world.watch(runId, ({ steps }) => steps.length >= 3);
    await world.restartCoordinator();
    await world.trainer();
    const steps = before.steps.map(({ step }) => step);
    for await (const { update } of world.runs.watchRun({ runId, afterStep: 3 })) {
      if (update?.$case === "step") steps.push(update.value.step);
    }
    assert.deepEqual(steps, [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(
      (await world.watch(runId)).steps.map(({ step }) => step),
      [1, 2, 3, 4, 5, 6],
    );
  });

  it("refuses to resume when the data set has changed", async () => {
    await using world = await durableWorld();
    await world.trainer();
    const spec = world.spec({}, RECIPE);
    const runId = await world.submit(spec);
    await world.watch(runId, ({ steps }) => steps.length >= 2);
    await world.restartCoordinator(() => void world.rows(8));
    await world.trainer();
    const { run } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.match(run.error?.message ?? "", /data set/);
  });

  it("gives a run only to trainers of its class, and says what it waits for (I2)", async () => {
    await using world = await durableWorld();
    await world.trainer({ deviceClass: "a" });
    const runId = await world.submit(world.spec({}, RECIPE));
    await world.watch(runId, ({ steps }) => steps.length >= 2);
    await world.restartCoordinator();
    await world.watch(runId, ({ run }) => /a trainer: none is available/.test(run.waitingFor));
    const other = await world.trainer({ deviceClass: "b" });
    await world.watch(runId, ({ run }) => /a trainer of class a, fake 1; the pool has only b/.test(run.waitingFor));
    await world.trainer({ deviceClass: "a" });
    const { run } = await world.watch(runId);
    assert.deepEqual([run.state, run.waitingFor, other.tasks.length], [RunState.RUN_STATE_COMPLETED, "", 0]);
  });

  it("gives a run with base_precision int8 to processors alone, and refuses it where there are none", async () => {
    await using world = await durableWorld();
    const spec = world.spec({}, { ...RECIPE, basePrecision: "int8" });
    const runId = await world.submit(spec);
    const gpu = await world.trainer({ trainerId: "gpu", deviceClass: "cuda-h200" });
    const waits = /a trainer on a processor, for base_precision; the pool has only cuda-h200, fake 1/;
    await world.watch(runId, ({ run }) => waits.test(run.waitingFor));
    const refused =
      /int8, which processors alone compute, but the pool has only cuda-h200, fake 1; start a trainer with/;
    await assert.rejects(world.submit(spec), failure("failed_precondition", refused));
    await world.trainer({ trainerId: "processor", deviceClass: "cpu-x64-avx512" });
    const { run } = await world.watch(runId);
    assert.deepEqual([run.state, run.waitingFor, gpu.tasks.length], [RunState.RUN_STATE_COMPLETED, "", 0]);
  });

  it("has one effect for a request that comes a hundred times, before and after, and refuses other content (I4)", async () => {
    await using world = await durableWorld();
    const requestId = randomUUID();
    const spec = world.spec();
    const submit = () => world.runs.submitRun({ requestId, spec });
    const answers = await Promise.all(Array.from({ length: 100 }, submit));
    await world.restartCoordinator();
    answers.push(...(await Promise.all(Array.from({ length: 100 }, submit))));
    assert.equal(new Set(answers.map(({ run }) => run?.runId)).size, 1);
    assert.equal((await world.runs.listRuns(ListRunsRequest.create())).runs.length, 1);
    const other = { requestId, spec: world.spec({ modelId: "another" }) };
    await assert.rejects(world.runs.submitRun(other), failure("already_exists", /request_id/));
    const runId = answers[0]?.run?.runId ?? "";
    await assert.rejects(world.runs.pauseRun({ requestId, runId }), failure("already_exists", /request_id/));
    const pauseId = randomUUID();
    await world.runs.pauseRun({ requestId: pauseId, runId });
    await resume(world, runId);
    // The pause was answered: repeating the request does not pause again.
    const { run } = await world.runs.pauseRun({ requestId: pauseId, runId });
    assert.notEqual(run?.state, RunState.RUN_STATE_PAUSED);
  });
});

describe("a trainer that is drained", { timeout: 240_000 }, () => {
  it("finishes what it has, is given nothing more even after a restart, and comes back", async () => {
    await using world = await durableWorld();
    const drained = await world.trainer({ trainerId: "drained", byHand: true, tasks: 1 });
    const runId = await world.submit(world.spec({}, RECIPE));
    await drained.until(() => drained.tasks.length === 1);
    const requestId = randomUUID();
    const { trainer } = await world.pool.drainTrainer({ requestId, trainerId: "drained" });
    assert.equal(trainer?.state, "TRAINER_STATE_DRAINING");
    assert.ok(await drained.answer(drained.tasks[0] ?? assert.fail()));
    drained.pull(5);
    await world.restartCoordinator();
    const again = await world.trainer({ trainerId: "drained" });
    await world.watch(runId, ({ run }) => run.waitingFor !== "");
    assert.deepEqual(again.tasks, []);
    const undrained = await world.pool.undrainTrainer({ requestId: randomUUID(), trainerId: "drained" });
    assert.equal(undrained.trainer?.state, "TRAINER_STATE_ACTIVE");
    assert.equal((await world.watch(runId)).run.state, RunState.RUN_STATE_COMPLETED);
    await assert.rejects(
      world.pool.drainTrainer({ requestId: randomUUID(), trainerId: "nobody" }),
      failure("not_found", /there is no trainer nobody; the pool has: drained/),
    );
  });
});

describe("the pool as a whole", { timeout: 240_000 }, () => {
  it("tells which services serve, and what runs there are", async () => {
    await using world = await World.start({ ownServices: true });
    await world.trainer({ byHand: true });
    const runId = await world.submit(world.spec());
    await pause(world, runId);
    const before = await world.pool.getPool({});
    assert.deepEqual(
      before.services.map(({ name, serving }) => [name, serving]),
      [
        ["coordinator", true],
        ["tokenizer", true],
        ["data-stream", true],
        ["checkpoint-store", true],
      ],
    );
    assert.deepEqual([before.trainers.length, before.activeRuns, before.pausedRuns], [1, 1, 1]);
    await world.services.tokenizer[Symbol.asyncDispose]();
    const { services } = await world.pool.getPool({});
    const problem = services.find(({ name }) => name === "tokenizer")?.problem ?? "";
    assert.match(problem, /connect ECONNREFUSED/);
  });
});
