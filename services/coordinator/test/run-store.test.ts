/** The run store: what it has confirmed is there whenever it is reopened (I4). */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { postgresPrograms, PostgresServer } from "@gradpool/integration-tests";
import { LogLevel, RunState, type StepMetrics } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { MAX_LOG_ENTRIES, type NewEvent } from "../src/store/run-store.js";
import { openRunStore } from "./open-run-store.js";
import { failure, runNamed } from "./support.js";

const LOG = createLogger("run-store", { GRADPOOL_LOG_LEVEL: "silent" });

function storePath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-run-store-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "deep", "runs.sqlite");
}

const open = (place: string) => openRunStore(place, LOG, { leaseMs: 300 });

/** Where the next store is kept. */
type Place = (t: TestContext) => string | Promise<string>;

/** A process that commits run after run, ended with the test; `heard` are those that it confirmed, at least one. */
async function holderOf(t: TestContext, path: string): Promise<{ child: ChildProcess; heard: string[] }> {
  const child = fork(new URL("./store-holder.js", import.meta.url), [path]);
  t.after(() => child.kill("SIGKILL"));
  const heard: string[] = [];
  child.on("message", (runId: string) => heard.push(runId));
  await once(child, "message");
  return { child, heard };
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

/** What each engine does. */
function keepsRuns(place: Place): void {
  it("holds runs in order of submission, their history, requests and drained trainers", async (t) => {
    const path = await place(t);
    const checkpoint = { path: "/out/checkpoint-epoch0-step1", step: 1, epoch: 0, removed: false };
    {
      await using store = await open(path);
      const { events, ...recorded } = store.recorded;
      assert.deepEqual(recorded, { life: 1, runs: [], requests: [], drained: [] });
      assert.match(events.logId, /^[0-9a-f]{16}$/);
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
    await using store = await open(path);
    const { events: _, ...recorded } = store.recorded;
    assert.deepEqual(recorded, {
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
    // It resumes after step 1, or from elsewhere with more steps.
    await store.commit([{ type: "steps", runId: "b", steps: [stepNumber(1)], evaluations: [] }]);
    assert.equal((await store.history("b")).length, 2);
    await store.commit([{ type: "steps", runId: "b", steps: [1, 2, 3].map(stepNumber), evaluations: [] }]);
    assert.deepEqual(
      (await store.history("b")).map(({ value }) => value.step),
      [1, 1, 2, 3],
    );
  });

  it("holds evaluations, and only those that a run resumes with", async (t) => {
    await using store = await open(await place(t));
    const evaluated = (step: number) => ({ step, epoch: 0, loss: 2, perplexity: Math.exp(2), tokens: 9, seconds: 0.5 });
    await store.commit([{ type: "run", run: runNamed("a") }]);
    for (const step of [1, 2, 3]) {
      await store.commit([{ type: "step", runId: "a", step: stepNumber(step) }]);
      await store.commit([{ type: "evaluation", runId: "a", evaluation: evaluated(step) }]);
    }
    const places = async () => (await store.history("a")).map(({ $case, value }) => `${$case} ${value.step}`);
    // Two steps were saved, but only the evaluation after the first of them.
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

  it("holds events, what they reported, and a bounded log of each run", async (t) => {
    const path = await place(t);
    const eventAt = (position: number): NewEvent => ({
      ...{
        runSequence: position,
        time: new Date(position),
        runId: "a",
        runName: "",
        trainerId: "",
      },
      ...{ traceparent: "", payload: { $case: "runStep", value: stepNumber(position) } },
    });
    const reported = { events: 9, step: 4, evaluation: 3, checkpoint: 2 };
    const entry = (message: string) => ({ time: new Date(1), level: LogLevel.LOG_LEVEL_INFO, message });
    let logId = "";
    {
      await using store = await open(path);
      ({ logId } = store.recorded.events);
      assert.equal(await store.commit([{ type: "event", event: eventAt(1) }]), 1);
      const others = [2, 3, 4].map((position) => ({ type: "event" as const, event: eventAt(position) }));
      assert.equal(await store.commit(others), 4);
      await store.commit([
        { type: "reported", runId: "a", reported },
        { type: "published", position: 2, stream: "then" },
        { type: "forget-events", through: 2, instead: eventAt(20) },
      ]);
      for (let i = 0; i < MAX_LOG_ENTRIES + 3; i += 59) {
        const lines = Array.from({ length: 59 }, (_, line) => entry(`line ${i + line}`));
        await store.commit(lines.map((line) => ({ type: "log" as const, runId: "a", entry: line })));
      }
    }
    await using store = await open(path);
    const published = { position: 2, stream: "then" };
    assert.deepEqual(store.recorded.events, { logId, newest: 4, published, reported: new Map([["a", reported]]) });
    assert.deepEqual(await store.events(0, 2), [
      { position: 2, event: { ...eventAt(20), eventId: `${logId}-2` } },
      { position: 3, event: { ...eventAt(3), eventId: `${logId}-3` } },
    ]);
    assert.deepEqual(await store.events(3, 10), [{ position: 4, event: { ...eventAt(4), eventId: `${logId}-4` } }]);
    const log = await store.runLog("a", 0, 2 * MAX_LOG_ENTRIES);
    assert.equal(log.length, MAX_LOG_ENTRIES);
    assert.deepEqual(log[0], { number: 4, ...entry("line 3") });
    assert.deepEqual(await store.runLog("a", MAX_LOG_ENTRIES + 2, 10), [
      { number: MAX_LOG_ENTRIES + 3, ...entry(`line ${MAX_LOG_ENTRIES + 2}`) },
    ]);
  });

  it("has all that was confirmed, and each commit whole, however often its process is killed", async (t) => {
    const path = await place(t);
    const answered: string[] = [];
    for (let life = 1; life <= 4; life++) {
      const { child, heard } = await holderOf(t, path);
      await delay(Math.random() * 60);
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
      answered.push(...heard);
      await using store = await open(path);
      const runs = store.recorded.runs.map(({ runId }) => runId);
      const requests = store.recorded.requests.map(({ requestId }) => requestId);
      assert.deepEqual(requests, runs, "half of a commit is there");
      assert.ok(
        answered.every((runId) => runs.includes(runId)),
        "what was answered is gone",
      );
    }
    assert.ok(answered.length >= 4);
  });
}

describe("the run store in SQLite", () => {
  keepsRuns(storePath);

  it("belongs to one coordinator at a time", async (t) => {
    const path = storePath(t);
    const { child } = await holderOf(t, path);
    await assert.rejects(
      open(path),
      failure("failed_precondition", new RegExp(`in use by the coordinator with process id ${child.pid}`)),
    );
  });

  it("refuses a file that is not a run store, or a newer version's", async (t) => {
    const path = storePath(t);
    await (await open(path))[Symbol.asyncDispose]();
    writeFileSync(path, "this is no database, but a text that is long enough to be taken for one by its size");
    await assert.rejects(open(path), failure("data_loss", /is damaged/));
    await assert.rejects(
      open(join(path, "a file is not a folder", "runs.sqlite")),
      failure("permission_denied", /cannot be opened/),
    );
  });
});

const { skip } = await postgresPrograms();

describe("the run store in PostgreSQL", { skip, timeout: 120_000 }, () => {
  const started = skip ? undefined : PostgresServer.start();
  after(async () => (await started)?.[Symbol.asyncDispose]());

  keepsRuns(async () => {
    const server = await started;
    assert.ok(server);
    return server.emptyDatabase();
  });
});
