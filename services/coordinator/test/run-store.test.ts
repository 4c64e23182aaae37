/** The run store: what it has answered is there whenever it is opened again (I4). */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { RunState, type StepMetrics } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";
import { failure, runNamed } from "./support.js";

const LOG = createLogger("run-store", { GRADPOOL_LOG_LEVEL: "silent" });

function storePath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-run-store-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "deep", "runs.sqlite");
}

const stepNumber = (step: number): StepMetrics => ({
  step,
  epoch: 0,
  loss: 1 / step,
  gradNorm: 0.1,
  learningRate: 1e-4,
  tokens: 7,
  seconds: 0.5,
});

describe("the run store", () => {
  it("holds runs in order of submission, their history, requests and drained trainers", async (t) => {
    const path = storePath(t);
    const checkpoint = { path: "/out/checkpoint-epoch0-step1", step: 1, epoch: 0, removed: false };
    {
      await using store = await SqliteRunStore.open(path, LOG);
      assert.deepEqual(store.recorded, { life: 1, runs: [], requests: [], drained: [] });
      await store.commit([
        { type: "run", run: runNamed("b") },
        { type: "request", requestId: "1", content: "x", subject: "b" },
      ]);
      await store.commit([{ type: "run", run: runNamed("a") }]);
      await store.commit([
        { type: "run", run: runNamed("b", { state: RunState.RUN_STATE_RUNNING, step: 1 }) },
        { type: "step", runId: "b", step: stepNumber(1) },
        { type: "checkpoint", runId: "b", checkpoint },
        { type: "step", runId: "b", step: stepNumber(2) },
        { type: "drained", trainerId: "t1", draining: true },
        { type: "drained", trainerId: "t2", draining: true },
      ]);
      await store.commit([{ type: "drained", trainerId: "t1", draining: false }]);
    }
    await using store = await SqliteRunStore.open(path, LOG);
    assert.deepEqual(store.recorded, {
      life: 2,
      runs: [runNamed("b", { state: RunState.RUN_STATE_RUNNING, step: 1 }), runNamed("a")],
      requests: [{ requestId: "1", content: "x", subject: "b" }],
      drained: ["t2"],
    });
    assert.deepEqual(await store.history("b"), [
      { $case: "step", value: stepNumber(1) },
      { $case: "checkpoint", value: checkpoint },
      { $case: "step", value: stepNumber(2) },
    ]);
    // It goes on behind step 1, or from elsewhere with more steps.
    await store.commit([{ type: "steps", runId: "b", steps: [stepNumber(1)], evaluations: [] }]);
    assert.equal((await store.history("b")).length, 2);
    await store.commit([{ type: "steps", runId: "b", steps: [1, 2, 3].map(stepNumber), evaluations: [] }]);
    assert.deepEqual(
      (await store.history("b")).map(({ value }) => value.step),
      [1, 1, 2, 3],
    );
  });

  it("holds evaluations, and those alone that a run goes on with", async (t) => {
    await using store = await SqliteRunStore.open(storePath(t), LOG);
    const evaluated = (step: number) => ({ step, epoch: 0, loss: 2, perplexity: Math.exp(2), tokens: 9, seconds: 0.5 });
    await store.commit([{ type: "run", run: runNamed("a") }]);
    for (const step of [1, 2, 3]) {
      await store.commit([{ type: "step", runId: "a", step: stepNumber(step) }]);
      await store.commit([{ type: "evaluation", runId: "a", evaluation: evaluated(step) }]);
    }
    const places = async () => (await store.history("a")).map(({ $case, value }) => `${$case} ${value.step}`);
    // Two steps were saved, but only the evaluation behind the first of them.
    const steps = [1, 2].map(stepNumber);
    await store.commit([{ type: "steps", runId: "a", steps, evaluations: [evaluated(1)] }]);
    assert.deepEqual(await places(), ["step 1", "evaluation 1", "step 2"]);
    await store.commit([{ type: "evaluation", runId: "a", evaluation: evaluated(2) }]);
    assert.deepEqual(await places(), ["step 1", "evaluation 1", "step 2", "evaluation 2"]);
    // From elsewhere, with evaluations that it has not made itself.
    await store.commit([{ type: "run", run: runNamed("b") }]);
    await store.commit([{ type: "steps", runId: "b", steps, evaluations: [1, 2].map(evaluated) }]);
    assert.equal((await store.history("b")).length, 4);
  });

  it("belongs to one coordinator at a time, and to the next when that was killed", async (t) => {
    const path = storePath(t);
    const child = fork(new URL("./store-holder.js", import.meta.url), [path]);
    const [message] = (await once(child, "message")) as [string];
    assert.equal(message, "committed");
    await assert.rejects(
      SqliteRunStore.open(path, LOG),
      failure("failed_precondition", new RegExp(`in use by the coordinator with process id ${child.pid}`)),
    );
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    await using store = await SqliteRunStore.open(path, LOG);
    assert.equal(store.recorded.life, 2);
    assert.ok(store.recorded.runs.length >= 1);
  });

  it("refuses a file that is no run store, or a newer one's", async (t) => {
    const path = storePath(t);
    await (await SqliteRunStore.open(path, LOG))[Symbol.asyncDispose]();
    writeFileSync(path, "this is no database, but a text that is long enough to be taken for one by its size");
    await assert.rejects(SqliteRunStore.open(path, LOG), failure("data_loss", /is damaged/));
    await assert.rejects(
      SqliteRunStore.open(join(path, "a file is no folder", "runs.sqlite"), LOG),
      failure("permission_denied", /cannot be opened/),
    );
  });
});
