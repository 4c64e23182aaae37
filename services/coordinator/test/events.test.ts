/** Events: each is reported once, in order, and with the change it reports (I6); and what a run's log says. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { EventType, LogLevel, RunState, type Event, type RunLogEntry, type WatchEventsRequest } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { MAX_UNFINISHED_RUNS } from "../src/record/run-registry.js";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";
import { failure, runNamed } from "./support.js";
import { durableWorld, World } from "./world.js";

const ALL: WatchEventsRequest = {
  ...{ runIds: [], types: [], trainerId: "", afterId: "", since: undefined, follow: false },
};

async function eventsOf(world: World, wanted: Partial<WatchEventsRequest> = {}): Promise<Event[]> {
  const events: Event[] = [];
  for await (const { event } of world.events.watchEvents({ ...ALL, ...wanted })) if (event) events.push(event);
  return events;
}

async function logOf(world: World, runId: string): Promise<RunLogEntry[]> {
  const entries: RunLogEntry[] = [];
  const request = { runId, afterNumber: 0, follow: true };
  for await (const { entry } of world.runs.watchRunLog(request)) if (entry) entries.push(entry);
  return entries;
}

const kindsOf = (events: Event[]) => events.map(({ payload }) => payload?.$case);
const stepsOf = (events: Event[]) =>
  events.flatMap(({ payload }) => (payload?.$case === "runStep" ? [payload.value.step] : []));

describe("events", { timeout: 240_000 }, () => {
  it("tell of a run from its submission to its end, and of trainers", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const held = { evalDataset: [world.rows(3, "held-out.jsonl")], runName: "nightly", tags: ["a", "b"] };
    const { run, steps } = await world.train(world.spec(held, { saveEvery: 2, evalEvery: 2 }));
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    await trainer.kill();
    const lost: WatchEventsRequest = { ...ALL, types: [EventType.EVENT_TYPE_TRAINER_LOST], follow: true };
    for await (const { event } of world.events.watchEvents(lost)) if (event) break;

    const events = await eventsOf(world);
    const aboutRun = events.filter(({ runId }) => runId === run.runId);
    const kinds = kindsOf(aboutRun);
    assert.deepEqual([kinds[0], kinds[1], kinds.at(-1)], ["runSubmitted", "runStarted", "runCompleted"]);
    assert.deepEqual(
      stepsOf(events),
      steps.map(({ step }) => step),
    );
    assert.equal(kinds.filter((kind) => kind === "runEvaluated").length, steps.length / 2);
    assert.equal(kinds.filter((kind) => kind === "runCheckpointSaved").length, steps.length / 2);
    assert.deepEqual(
      aboutRun.map(({ runSequence }) => runSequence),
      aboutRun.map((_, i) => i + 1),
    );
    assert.ok(events.every(({ runId, runName }) => runName === (runId === "" ? "" : "nightly")));
    const [submitted] = aboutRun;
    assert.deepEqual(submitted?.payload?.$case === "runSubmitted" && submitted.payload.value.tags, ["a", "b"]);
    assert.deepEqual(kindsOf(await eventsOf(world, { trainerId: trainer.trainerId })), [
      "trainerJoined",
      "trainerLost",
    ]);
    assert.equal(new Set(events.map(({ eventId }) => eventId)).size, events.length);
  });

  it("report each step once over restarts, and resume after the last event seen", async () => {
    await using world = await durableWorld({ recoveryMs: 0 });
    await world.trainer();
    const runId = await world.submit(world.spec({}, { epochs: 3 }));
    await world.watch(runId, ({ steps }) => steps.length >= 3);
    const before = await eventsOf(world);
    // Without a recovery point it starts from scratch.
    await world.restartCoordinator();
    await world.trainer();
    const { steps } = await world.watch(runId);
    const later = await eventsOf(world, { afterId: before.at(-1)?.eventId ?? "" });
    const all = await eventsOf(world);
    assert.deepEqual([...before, ...later], all);
    assert.deepEqual(
      stepsOf(all),
      steps.map(({ step }) => step),
    );
    assert.ok(kindsOf(later).includes("runResumed"));
    // Ids of another store are not positions in this one.
    assert.deepEqual(await eventsOf(world, { afterId: "0123456789abcdef-7" }), all);
    await assert.rejects(eventsOf(world, { afterId: "nonsense" }), failure("invalid_argument", /not an event's id/));
  });

  it("are filtered by run, type and time", async () => {
    await using world = await World.start();
    await world.trainer();
    const { run } = await world.train(world.spec());
    const { run: other } = await world.train(world.spec());
    const types = [EventType.EVENT_TYPE_RUN_SUBMITTED, EventType.EVENT_TYPE_RUN_COMPLETED];
    assert.deepEqual(kindsOf(await eventsOf(world, { runIds: [run.runId], types })), ["runSubmitted", "runCompleted"]);
    const [end] = await eventsOf(world, { runIds: [run.runId], types: types.slice(1) });
    const since = await eventsOf(world, { since: new Date((end?.time?.getTime() ?? 0) + 1) });
    assert.ok(since.length > 0 && since.every(({ runId }) => runId !== run.runId));
    assert.ok(since.some(({ runId }) => runId === other.runId));
  });

  it("tell of a pause, its end, and a cancellation; and of draining", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ byHand: true });
    const runId = await world.submit(world.spec());
    await trainer.until(() => trainer.tasks.length > 0);
    const { trainerId } = trainer;
    await world.runs.pauseRun({ requestId: randomUUID(), runId });
    await world.runs.resumeRun({ requestId: randomUUID(), runId });
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
    await world.pool.drainTrainer({ requestId: randomUUID(), trainerId });
    await world.pool.undrainTrainer({ requestId: randomUUID(), trainerId });
    assert.deepEqual(kindsOf(await eventsOf(world, { runIds: [runId] })), [
      ...["runSubmitted", "runStarted", "runPaused", "runResumed", "runCancelled"],
    ]);
    assert.deepEqual(kindsOf(await eventsOf(world, { trainerId })), [
      ...["trainerJoined", "trainerDrained", "trainerUndrained"],
    ]);
    const log = (await logOf(world, runId)).map(({ message }) => message);
    assert.match(log[0] ?? "", /^submitted: .*gpt2-plain.* on .*rows\.jsonl$/);
    assert.match(log[1] ?? "", /^prepared: 7 rows, 4 steps; [\d,]+ of [\d,]+ parameters are trained; into /);
    assert.deepEqual(log.slice(2, 4), ["training begins: 4 steps", "paused: on request"]);
    assert.equal(log.at(-1), "cancelled after step 0");
  });

  it("tell of submissions that are refused since the pool is full, not of each", async (t) => {
    const runStore = await storeOfRuns(t, MAX_UNFINISHED_RUNS);
    await using world = await World.start({ runStore });
    for (let i = 0; i < 3; i++) {
      await assert.rejects(
        world.submit(world.spec()),
        failure("resource_exhausted", /1000 runs have not ended.*cancel/),
      );
    }
    const [refused, ...others] = await eventsOf(world, { types: [EventType.EVENT_TYPE_QUOTA_REFUSED] });
    assert.deepEqual(others, []);
    assert.ok(refused?.payload?.$case === "quotaRefused");
    const { limit, refusals, message } = refused.payload.value;
    assert.deepEqual([limit, refusals], [MAX_UNFINISHED_RUNS, 1]);
    assert.match(message, /runs have not ended/);
  });
});

/** A run store with this many paused runs. */
async function storeOfRuns(t: TestContext, runs: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-events-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "runs.sqlite");
  await using world = await World.start();
  await using store = await SqliteRunStore.open(path, createLogger("store", { GRADPOOL_LOG_LEVEL: "silent" }));
  const resting = { state: RunState.RUN_STATE_PAUSED, pausedBecause: "on request" };
  const changes = Array.from({ length: runs }, (_, i) => {
    const spec = world.spec({ outputDir: join(folder, String(i)) });
    return { type: "run" as const, run: runNamed(`run-${i}`, { ...resting, spec }) };
  });
  await store.commit(changes);
  return path;
}

describe("a run's log", { timeout: 240_000 }, () => {
  it("says what failed, who was lost, what was reassigned, and how it ended", async () => {
    await using world = await World.start();
    const failing = await world.trainer({ tasks: 1 });
    failing.alter = async () => undefined;
    const runId = await world.submit(world.spec({}, { saveEvery: 2 }));
    await failing.until(() => failing.tasks.length > 0);
    const doomed = await world.trainer({ byHand: true, tasks: 1 });
    await doomed.until(() => doomed.tasks.length > 0);
    await doomed.kill();
    failing.alter = async (answer) => answer;
    failing.pull(16);
    const { run } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);

    const log = await logOf(world, runId);
    assert.deepEqual(
      log.map(({ number }) => number),
      log.map((_, i) => i + 1),
    );
    const logged = (level: LogLevel, text: RegExp) =>
      assert.ok(
        log.some((entry) => entry.level === level && text.test(entry.message)),
        `${text} is missing among:\n${log.map(({ message }) => message).join("\n")}`,
      );
    logged(LogLevel.LOG_LEVEL_WARN, /^step 1, micro-batch 0 failed on trainer-1: /);
    logged(LogLevel.LOG_LEVEL_INFO, /^step 1, micro-batch 0 assigned to trainer-\d, attempt 2$/);
    logged(LogLevel.LOG_LEVEL_WARN, /^trainer-2 was lost: its connection ended; reassigning its micro-batch$/);
    logged(LogLevel.LOG_LEVEL_INFO, /^checkpoint saved: .*checkpoint-epoch0-step2$/);
    assert.match(log.at(-1)?.message ?? "", /^completed: 4 steps, [\d,]+ target tokens$/);
  });

  it("says what a run waits for and why it failed, and survives a restart", async () => {
    await using world = await durableWorld({ leases: { heartbeatMs: 20, leaseMs: 10_000 } });
    const runId = await world.submit(world.spec());
    const waiting = world.runs.watchRunLog({ runId, afterNumber: 0, follow: true });
    for await (const { entry } of waiting) if (entry?.message.startsWith("waiting for a trainer")) break;
    await world.restartCoordinator();
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
    const log = (await logOf(world, runId)).map(({ message }) => message);
    assert.ok(log.includes("the coordinator restarted and resumed the run"), log.join("\n"));
    const { run } = await world.train(world.spec({ dataset: [join(world.folder, "none.jsonl")] }));
    const last = (await logOf(world, run.runId)).at(-1);
    assert.equal(last?.level, LogLevel.LOG_LEVEL_ERROR);
    assert.match(last?.message ?? "", /^failed after step 0: .*none\.jsonl/);
    const none = world.runs.watchRunLog({ runId: "run-none", afterNumber: 0, follow: false });
    await assert.rejects(none[Symbol.asyncIterator]().next(), failure("not_found", /there is no run run-none/));
  });
});
