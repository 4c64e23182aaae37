/** What the coordinator counts of its core's events. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Registry } from "@gradpool/service-kit";
import { emptyPool, type Event } from "../src/core/state.js";
import { step } from "../src/core/step.js";
import { CoordinatorMetrics } from "../src/metrics/coordinator-metrics.js";
import { QueueWaits } from "../src/metrics/queue-waits.js";

const RUN = "run-1";
const PREPARED = { gradientAccumulation: 2, totalSteps: 3, stepsDone: 0, deviceClass: undefined };
const BEGIN: Event[] = [
  { type: "run-submitted", runId: RUN },
  { type: "run-prepared", runId: RUN, ...PREPARED, evaluate: false, stopped: false },
  { type: "micro-batch-arrived", runId: RUN, lastOfEpoch: false },
  { type: "micro-batch-arrived", runId: RUN, lastOfEpoch: false },
];
const joins = (trainerId: string, nowMs: number): Event[] => [
  { type: "trainer-joined", trainerId, deviceClass: "cpu-x64-avx512, gradpool 0.1.0", nowMs },
  { type: "trainer-pulled", trainerId, tasks: 2, nowMs },
];

/** The value of a series after the events. */
async function counted(events: Event[]): Promise<(series: string) => number | undefined> {
  const registry = new Registry();
  let state = emptyPool();
  const metrics = new CoordinatorMetrics(registry, () => ({ state, runs: [], trainers: [], eventsWaiting: 0 }));
  for (const event of events) {
    const [after, effects] = step(state, event);
    metrics.happened({ event, effects, changes: [], before: state, after });
    state = after;
  }
  const text = await registry.metrics();
  return (series) => {
    const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };
}

describe("the coordinator's metrics", () => {
  test("a micro-batch counts as handed out again only from the second time on", async () => {
    const first = await counted([...BEGIN, ...joins("a", 0)]);
    assert.equal(first("gradpool_micro_batch_retries_total"), 0);
    assert.equal(first('gradpool_micro_batch_queue_seconds_count{device_class="cpu-x64-avx512"}'), 2);
    const again = await counted([
      ...BEGIN,
      ...joins("a", 0),
      { type: "trainer-left", trainerId: "a" },
      ...joins("b", 1),
    ]);
    assert.equal(again("gradpool_micro_batch_retries_total"), 2);
    assert.equal(again('gradpool_micro_batch_queue_seconds_count{device_class="cpu-x64-avx512"}'), 2);
    assert.equal(again("gradpool_micro_batches_out"), 2);
  });

  test("a trainer is lost when it goes, or falls silent, with work in hand", async () => {
    const left = await counted([...BEGIN, ...joins("a", 0), { type: "trainer-left", trainerId: "a" }]);
    assert.equal(left("gradpool_trainers_lost_total"), 1);
    assert.equal(left("gradpool_micro_batches_waiting"), 2);
    const silent = await counted([...BEGIN, ...joins("a", 0), { type: "time-passed", leaseMs: 10, nowMs: 100 }]);
    assert.equal(silent("gradpool_trainers_lost_total"), 1);
    const idle = await counted([...joins("a", 0), { type: "trainer-left", trainerId: "a" }]);
    assert.equal(idle("gradpool_trainers_lost_total"), 0);
  });

  test("failures and ends of runs are told apart, and those that have yet to come are zero", async () => {
    const failure = { type: "task-failed", taskId: `${RUN}/1/0/1.1`, code: "resource_exhausted", message: "" } as const;
    const failed = await counted([...BEGIN, ...joins("a", 0), { ...failure, permanent: true }]);
    assert.equal(failed('gradpool_micro_batch_failures_total{code="resource_exhausted"}'), 1);
    assert.equal(failed('gradpool_runs_ended_total{outcome="failed"}'), 1);
    assert.equal(failed('gradpool_runs_ended_total{outcome="completed"}'), 0);
  });
});

describe("how long a micro-batch waits", () => {
  const task = { taskId: "t", trainerId: "a", runId: RUN, step: 1, microBatch: 1, evaluation: false };

  test("begins when it belongs to the step being made, and not while the run rests", () => {
    const waits = new QueueWaits();
    let state = emptyPool();
    const happen = (event: Event, nowMs: number) => {
      [state] = step(state, event);
      waits.see(state, nowMs);
    };
    BEGIN.forEach((event, i) => happen(event, 10 * i));
    assert.equal(waits.waited(task, 100), 70);
    happen({ type: "run-paused", runId: RUN }, 200);
    happen({ type: "trainer-heard", trainerId: "nobody" }, 300);
    happen({ type: "run-resumed", runId: RUN }, 310);
    assert.equal(waits.waited(task, 350), 50);
    happen({ type: "run-cancelled", runId: RUN }, 400);
    assert.equal(waits.waited(task, 500), 0);
  });
});
