/** What the coordinator counts of its core's events. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ERROR_CODES } from "@gradpool/errors";
import { Run } from "@gradpool/rpc";
import { Registry } from "@gradpool/service-kit";
import { emptyPool, type Input } from "../src/core/state.js";
import { transition } from "../src/core/transition.js";
import type { Fact } from "../src/facts.js";
import { CoordinatorMetrics } from "../src/metrics/coordinator-metrics.js";

const RUN = "run-1";
const PREPARED = { totalSteps: 3, stepsDone: 0, deviceClass: undefined };
const BEGIN: Input[] = [
  { type: "run-submitted", runId: RUN },
  { type: "run-prepared", runId: RUN, ...PREPARED, evaluate: false, stopped: false },
  { type: "micro-batch-arrived", runId: RUN, lastOfStep: false },
  { type: "micro-batch-arrived", runId: RUN, lastOfStep: true },
];
const joins = (trainerId: string, nowMs: number): Input[] => [
  { type: "trainer-joined", trainerId, deviceClass: "cpu-x64-avx512, gradpool 0.1.0", nowMs },
  { type: "trainer-pulled", trainerId, tasks: 2, nowMs },
];

/** The value of a series after the inputs; `before`: facts that come first. */
async function counted(inputs: Input[], before: Fact[] = []): Promise<(series: string) => number | undefined> {
  const registry = new Registry();
  let state = emptyPool();
  const metrics = new CoordinatorMetrics(registry, () => ({ state, runs: [], trainers: [], eventsWaiting: 0 }));
  metrics.observe(before);
  for (const input of inputs) {
    const after = transition(state, input);
    metrics.observe(after.facts);
    state = after.state;
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

  test("a trainer is lost when it leaves, or falls silent, while it has work", async () => {
    const left = await counted([...BEGIN, ...joins("a", 0), { type: "trainer-left", trainerId: "a" }]);
    assert.equal(left("gradpool_trainers_lost_total"), 1);
    assert.equal(left("gradpool_micro_batches_waiting"), 2);
    const silent = await counted([...BEGIN, ...joins("a", 0), { type: "time-passed", leaseMs: 10, nowMs: 100 }]);
    assert.equal(silent("gradpool_trainers_lost_total"), 1);
    const idle = await counted([...joins("a", 0), { type: "trainer-left", trainerId: "a" }]);
    assert.equal(idle("gradpool_trainers_lost_total"), 0);
  });

  test("failures and ends of runs are counted separately, and are zero before they occur", async () => {
    const failure = { type: "task-failed", taskId: `${RUN}/1/0/1.1`, code: "resource_exhausted", message: "" } as const;
    const failed = await counted([...BEGIN, ...joins("a", 0), { ...failure, permanent: true }]);
    assert.equal(failed('gradpool_micro_batch_failures_total{code="resource_exhausted"}'), 1);
    assert.equal(failed('gradpool_runs_ended_total{outcome="failed"}'), 1);
    assert.equal(failed('gradpool_runs_ended_total{outcome="completed"}'), 0);
  });

  test("have every series at 0 from the start, and those of a device class once a trainer of it joined", async () => {
    const start = await counted([]);
    for (const code of ERROR_CODES) assert.equal(start(`gradpool_micro_batch_failures_total{code="${code}"}`), 0);
    const joined = await counted(joins("a", 0));
    const of = 'device_class="cpu-x64-avx512"';
    for (const name of ["tokens_total", "device_busy_seconds_total", "micro_batch_queue_seconds_count"])
      assert.equal(joined(`gradpool_${name}{${of}}`), 0, name);
    for (const kind of ["train", "evaluation"])
      for (const name of ["micro_batches_total", "micro_batch_seconds_count"])
        assert.equal(joined(`gradpool_${name}{${of},kind="${kind}"}`), 0, name);
  });

  test("a run that waits over a restart counts with all of its time, and one that ran before does not", async () => {
    const submittedAt = new Date(Date.now() - 100_000);
    const recovered = (run: Partial<Run>): Fact[] => [
      { type: "run-recovered", run: Run.fromPartial({ runId: RUN, submittedAt, ...run }) },
    ];
    const waited = await counted(BEGIN, recovered({}));
    assert.equal(waited("gradpool_run_queue_seconds_count"), 1);
    const seconds = waited("gradpool_run_queue_seconds_sum") ?? 0;
    assert.ok(seconds >= 100 && seconds < 160, `${seconds} s`);
    const ran = await counted(BEGIN, recovered({ startedAt: submittedAt }));
    assert.equal(ran("gradpool_run_queue_seconds_count"), 0);
  });
});

describe("how long a micro-batch waits", () => {
  /** Of the second micro-batch, when a trainer that comes at `nowMs` is given it. */
  function waited(inputs: Input[], nowMs: number): number | undefined {
    let state = emptyPool();
    for (const input of inputs) ({ state } = transition(state, input));
    const [join, pull] = joins("a", nowMs) as [Input, Input];
    const { facts } = transition(transition(state, join).state, pull);
    return facts.flatMap((fact) =>
      fact.type === "task-assigned" && fact.task.microBatch === 1 ? [fact.waitedMs] : [],
    )[0];
  }

  test("starts when it belongs to the current step, and not while the run is paused", () => {
    const inputs: Input[] = BEGIN.map((input, i) => ({ ...input, nowMs: 10 * i }));
    assert.equal(waited(inputs, 100), 70);
    inputs.push({ type: "run-paused", runId: RUN, nowMs: 200 });
    inputs.push({ type: "trainer-heard", trainerId: "nobody", nowMs: 290 });
    inputs.push({ type: "run-resumed", runId: RUN, nowMs: 300 });
    assert.equal(waited(inputs, 350), 50);
    inputs.push({ type: "run-cancelled", runId: RUN, nowMs: 400 });
    assert.equal(waited(inputs, 500), undefined);
  });
});
