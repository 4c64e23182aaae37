/** Submitting, watching and cancelling. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { ListRunsRequest, RunState, type RunSpec } from "@gradpool/rpc";
import type { FakeTrainer } from "./fake-trainer.js";
import { failure } from "./support.js";
import { World, type RecipeChanges } from "./world.js";

const LONG: RecipeChanges = { epochs: 1000, gradientAccumulation: 2 };

describe("submitting a run", { timeout: 240_000 }, () => {
  it("has one effect and one answer for one request id (I4)", async () => {
    await using world = await World.start();
    const requestId = randomUUID();
    const spec = world.spec();
    const [first, second] = await Promise.all([1, 2].map(() => world.runs.submitRun({ requestId, spec })));
    assert.match(first?.run?.runId ?? "", /^run-[0-9a-z]+-[0-9a-z]+$/);
    assert.equal(second?.run?.runId, first?.run?.runId);
    assert.equal((await world.runs.listRuns(ListRunsRequest.create())).runs.length, 1);
    const other: RunSpec = world.spec({ outputDir: world.outputDir("other") });
    await assert.rejects(world.runs.submitRun({ requestId, spec: other }), failure("already_exists", /request_id/));
  });

  it("lists runs, newest first, and no others", async () => {
    await using world = await World.start();
    const ids = [];
    for (const name of ["a", "b", "c"]) ids.push(await world.submit(world.spec({ outputDir: world.outputDir(name) })));
    const { runs } = await world.runs.listRuns(ListRunsRequest.create());
    assert.deepEqual(
      runs.map(({ runId }) => runId),
      ids.reverse(),
    );
    const { run } = await world.runs.getRun({ runId: ids[1] ?? "" });
    assert.equal(run?.spec?.outputDir, world.outputDir("b"));
    await assert.rejects(world.runs.getRun({ runId: "run-none" }), failure("not_found", /there is no run run-none/));
    await assert.rejects(world.watch("run-none"), failure("not_found", /there is no run run-none/));
    await assert.rejects(
      world.runs.cancelRun({ requestId: randomUUID(), runId: "run-none" }),
      failure("not_found", /there is no run run-none/),
    );
  });

  it("refuses invalid requests at once", async () => {
    await using world = await World.start();
    const spec = world.spec();
    const recipe = spec.recipe ?? assert.fail();
    const cases: [string, RunSpec | undefined, RegExp][] = [
      ["", spec, /request_id/],
      ["1", undefined, /spec is missing/],
      ["2", { ...spec, modelId: "" }, /model_id is missing/],
      ["3", { ...spec, dataset: [] }, /dataset is missing/],
      ["4", { ...spec, outputDir: "" }, /output_dir is missing/],
      ["5", { ...spec, recipe: undefined }, /recipe is missing/],
      ["5a", { ...spec, runName: "a\nb" }, /run_name has a control character/],
      ["5b", { ...spec, tags: ["a", "a"] }, /tags has "a" twice/],
      ["5c", { ...spec, reportTo: ["wandb"] }, /report_to cannot be wandb/],
      ["6", { ...spec, recipe: { ...recipe, lora: undefined } }, /recipe.lora is missing/],
      ["7", { ...spec, recipe: { ...recipe, epochs: 0 } }, /epochs is 0/],
      ["7a", { ...spec, recipe: { ...recipe, lora: { ...recipe.lora!, r: 10_000 } } }, /lora_r is 10000.*1024/],
      ["8", { ...spec, recipe: { ...recipe, learningRate: NaN } }, /learning_rate is NaN/],
      [
        "9",
        { ...spec, recipe: { ...recipe, lrScheduler: "none" } },
        /lr_scheduler is none.*constant, .*linear, cosine/,
      ],
    ];
    for (const [requestId, wrong, text] of cases) {
      await assert.rejects(world.runs.submitRun({ requestId, spec: wrong }), failure("invalid_argument", text));
    }
    const reported = world.runs.submitRun({ requestId: "10", spec: { ...spec, reportTo: ["mlflow"] } });
    await assert.rejects(reported, failure("failed_precondition", /report_to mlflow: there is no server/));
    assert.equal((await world.runs.listRuns(ListRunsRequest.create())).runs.length, 0);
  });

  it("refuses an output folder that another of its runs uses, until that run has ended", async () => {
    await using world = await World.start();
    const runId = await world.submit(world.spec());
    const same = world.spec({ outputDir: `${world.outputDir()}/../output/` });
    await assert.rejects(world.submit(same), failure("failed_precondition", new RegExp(`in use by ${runId}`)));
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
    await world.trainer();
    const { run } = await world.train(same);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
  });
});

describe("watching a run", { timeout: 240_000 }, () => {
  it("gives the run, the steps after after_step, and its end", async () => {
    await using world = await World.start();
    await world.trainer();
    const runId = await world.submit(world.spec());
    await world.watch(runId);
    const seen: string[] = [];
    for await (const { update } of world.runs.watchRun({ runId, afterStep: 2 })) {
      if (update?.$case === "run") seen.push(RunState[update.value.state]);
      if (update?.$case === "step") seen.push(`step ${update.value.step}`);
      if (update?.$case === "checkpoint") seen.push(`checkpoint ${update.value.step}`);
    }
    assert.deepEqual(seen, ["RUN_STATE_COMPLETED", "step 3", "step 4", "checkpoint 4"]);
  });

  it("shows each watcher every step once, in order, whenever it comes", async () => {
    await using world = await World.start();
    const runId = await world.submit(world.spec({}, { epochs: 10, saveEvery: 4, keepLastNCheckpoints: 2 }));
    const early = world.watch(runId);
    await world.trainer();
    const late = await world.watch(runId, ({ steps }) => steps.length >= 7);
    const rest = await world.watch(runId);
    const ended = await early;
    const numbers = Array.from({ length: 20 }, (_, i) => i + 1);
    for (const { steps } of [ended, rest]) {
      assert.deepEqual(
        steps.map(({ step }) => step),
        numbers,
      );
    }
    assert.equal(late.steps.length, 7);
    // Checkpoints at 4, 8, …, 20; the newest two stay.
    assert.deepEqual(
      ended.checkpoints.map(({ step, removed }) => (removed ? -step : step)),
      [4, 8, 12, -4, 16, -8, 20, -12],
    );
    assert.ok(world.has("output/checkpoint-epoch9-step20") && !world.has("output/checkpoint-epoch5-step12"));
  });

  it("ends with the coordinator, and says so", async () => {
    const world = await World.start();
    const runId = await world.submit(world.spec());
    await world.watch(runId, ({ run }) => run.state === RunState.RUN_STATE_RUNNING);
    const watching = world.watch(runId);
    const rejected = assert.rejects(watching, failure("unavailable", /stopping/));
    // The answer to this arrived after the watcher's call had begun.
    await world.runs.getRun({ runId });
    await world[Symbol.asyncDispose]();
    await rejected;
  });
});

describe("cancelling a run", { timeout: 240_000 }, () => {
  const cancel = (world: World, runId: string) => world.runs.cancelRun({ requestId: randomUUID(), runId });

  async function assertGone(world: World, runId: string): Promise<void> {
    const { run } = await world.watch(runId);
    assert.deepEqual([run.state, run.error, run.preparing], [RunState.RUN_STATE_CANCELLED, undefined, ""]);
    assert.ok(run.endedAt);
    assert.ok(!world.has("output/adapter_model.safetensors"));
    // The folder is free for another run.
    await using trainer = await world.trainer({ trainerId: "afterwards" });
    const next = await world.train(world.spec());
    assert.equal(next.run.state, RunState.RUN_STATE_COMPLETED, next.run.error?.message);
    assert.ok(trainer.accepted.length > 0);
  }

  it("works while it is being prepared", async () => {
    await using world = await World.start({ ownServices: true });
    let letGo = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    world.services.tokenizer.beforeInfo = () => held;
    const runId = await world.submit(world.spec());
    await world.watch(runId, ({ run }) => run.preparing === "loading the tokenizer");
    const { run } = await cancel(world, runId);
    assert.equal(run?.state, RunState.RUN_STATE_CANCELLED);
    letGo();
    await assertGone(world, runId);
  });

  it("works while it waits for trainers", async () => {
    await using world = await World.start();
    const runId = await world.submit(world.spec());
    await world.watch(runId, ({ run }) => run.state === RunState.RUN_STATE_RUNNING);
    await cancel(world, runId);
    await assertGone(world, runId);
  });

  it("works in the middle of a step, and cancels its tasks", async () => {
    await using world = await World.start();
    const trainer: FakeTrainer = await world.trainer({ byHand: true });
    const runId = await world.submit(world.spec({}, LONG));
    await trainer.until(() => trainer.tasks.length === 2);
    const [first, second] = trainer.tasks;
    if (!first || !second) return assert.fail();
    assert.ok(await trainer.answer(first));
    const { header, gradients } = await trainer.compute(second);
    await cancel(world, runId);
    await trainer.until(() => trainer.endedRuns.includes(runId));
    assert.deepEqual(trainer.cancelled, [second.taskId]);
    assert.equal(await trainer.push(header, gradients), false);
    await assert.rejects(trainer.compute({ ...second, adapterVersion: 1 }), failure("not_found", /has ended/));
    await trainer.kill();
    await assertGone(world, runId);
  });

  it("keeps existing checkpoints, and saves no more", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const runId = await world.submit(world.spec({}, { ...LONG, saveEvery: 1 }));
    const { checkpoints } = await world.watch(runId, (seen) => seen.checkpoints.length >= 3);
    await cancel(world, runId);
    const { run } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_CANCELLED);
    assert.ok(checkpoints.length >= 3);
    await trainer[Symbol.asyncDispose]();
    await assertGone(world, runId);
  });

  it("has one effect, can be asked again, and is refused once the run has ended otherwise", async () => {
    await using world = await World.start();
    const runId = await world.submit(world.spec());
    const request = { requestId: randomUUID(), runId };
    const [once, again] = await Promise.all([1, 2].map(() => world.runs.cancelRun(request)));
    assert.deepEqual(once, again);
    assert.deepEqual(await world.runs.cancelRun({ ...request, requestId: randomUUID() }), once);
    await world.trainer();
    const done = await world.train(world.spec());
    await assert.rejects(cancel(world, done.run.runId), failure("failed_precondition", /has completed already/));
    const reused = world.runs.cancelRun({ ...request, runId: done.run.runId });
    await assert.rejects(reused, failure("already_exists", /request_id/));
  });
});
