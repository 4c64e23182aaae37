/** metrics.json and TensorBoard's file while a run trains, and of one without a result; and which folders a result may use. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RunState } from "@gradpool/rpc";
import { MODEL, World } from "./world.js";

const METRICS = "metrics.json";
const EVENTS = "events.out.tfevents.gradpool";

const stepsIn = (folder: string) =>
  (JSON.parse(readFileSync(join(folder, METRICS), "utf8")) as { run_id: string; steps: { step: number }[] }).steps
    .length;
/** Records of steps in TensorBoard's file. */
const eventsIn = (folder: string) => readFileSync(join(folder, EVENTS), "latin1").split("train/loss").length - 1;

describe("metrics and results of a run", { timeout: 240_000 }, () => {
  it("grow while it trains, and are whole when it is cancelled", async () => {
    await using world = await World.start();
    await world.trainer();
    const folder = world.outputDir();
    const runId = await world.submit(world.spec({}, { epochs: 1_000_000 }));
    while (!existsSync(join(folder, METRICS)) || !existsSync(join(folder, EVENTS))) await delay(20);
    const first = stepsIn(folder);
    assert.ok(first > 0);
    assert.equal(eventsIn(folder), first);
    while (stepsIn(folder) === first) await delay(20);
    const { run } = await world.runs.getRun({ runId });
    assert.equal(run?.state, RunState.RUN_STATE_RUNNING);
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
    const ended = await world.watch(runId);
    assert.equal(stepsIn(folder), ended.steps.length);
    assert.equal(eventsIn(folder), ended.steps.length);
  });

  it("exist after a failed run, whose folder the next one may use", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    trainer.alter = async (answer, { step }) =>
      step < 3 ? answer : { ...answer, header: { ...answer.header, lossSum: NaN } };
    const failed = await world.train(world.spec());
    assert.equal(failed.run.state, RunState.RUN_STATE_FAILED);
    assert.match(failed.run.error?.message ?? "", /step 3: loss is NaN/);
    assert.deepEqual(readdirSync(world.outputDir()).sort(), [EVENTS, METRICS]);
    assert.equal(stepsIn(world.outputDir()), 2);
    assert.equal(eventsIn(world.outputDir()), 2);
    trainer.alter = async (answer) => answer;
    assert.equal((await world.train(world.spec())).run.state, RunState.RUN_STATE_COMPLETED);
  });

  it("are not written where another run's result is, unless it is to be overwritten or continued", async () => {
    await using world = await World.start();
    await world.trainer();
    assert.equal((await world.train(world.spec())).run.state, RunState.RUN_STATE_COMPLETED);
    const before = readdirSync(world.outputDir());
    const metrics = readFileSync(join(world.outputDir(), METRICS));
    const { run } = await world.train(world.spec());
    assert.deepEqual([run.state, run.error?.code], [RunState.RUN_STATE_FAILED, "failed_precondition"]);
    assert.match(
      run.error?.message ?? "",
      /holds the result of run .*; choose another --output_dir, or give --overwrite/,
    );
    assert.deepEqual(readdirSync(world.outputDir()), before);
    assert.deepEqual(readFileSync(join(world.outputDir(), METRICS)), metrics);
    for (const changes of [{ overwriteOutputDir: true }, { resumeFrom: "latest" }]) {
      const { run } = await world.train(world.spec(changes));
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    }
  });

  it("are not written into the model's own folder, nor where another tool's adapter is", async () => {
    await using world = await World.start();
    await world.trainer();
    const model = world.outputDir("model");
    cpSync(MODEL, model, { recursive: true });
    const files = readdirSync(model);
    for (const overwriteOutputDir of [false, true]) {
      const changes = { modelId: model, outputDir: `${model}/../model`, overwriteOutputDir };
      const { run } = await world.train(world.spec(changes));
      assert.match(run.error?.message ?? "", /is the model's own folder; choose another --output_dir/);
    }
    assert.deepEqual(readdirSync(model), files);
    mkdirSync(world.outputDir("adapter"));
    writeFileSync(join(world.outputDir("adapter"), "adapter_config.json"), "{}");
    const { run } = await world.train(world.spec({ outputDir: world.outputDir("adapter") }));
    assert.match(run.error?.message ?? "", /adapter holds an adapter; choose another --output_dir/);
  });
});
