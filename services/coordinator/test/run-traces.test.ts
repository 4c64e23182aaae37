/** What the traces of runs hold, and how much: played through the core, with a clock of the test's own. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { trace } from "@opentelemetry/api";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { RunSpec, RunState, type Run } from "@gradpool/rpc";
import { emptyPool, type Input } from "../src/core/state.js";
import { transition } from "../src/core/transition.js";
import type { Fact } from "../src/facts.js";
import { MAX_GROUPS_IN_RUN, OWN_TRACE_INTERVAL_MS } from "../src/traces/run-trace.js";
import { RunTraces } from "../src/traces/run-traces.js";
import { runNamed } from "./support.js";

const [TRACE, SPAN] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];
const runId = "a";
const exporter = new InMemorySpanExporter();

before(() => {
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
});
afterEach(() => exporter.reset());
after(() => trace.disable());

/** A run of steps of two micro-batches, on the trainers "t1" and "t2". */
class World {
  nowMs = 1_000;
  /** As it is recorded. */
  run: Run;
  readonly traces = new RunTraces(
    () => this.run,
    () => this.nowMs,
  );
  #state = emptyPool();

  constructor(flags = "01", changes: Partial<Run> = {}) {
    this.run = runNamed(runId, { traceparent: `00-${TRACE}-${SPAN}-${flags}`, ...changes });
    this.report({ type: "run-submitted", run: this.run });
    this.happen({ type: "run-submitted", runId });
    const facts = { totalSteps: 10_000, stepsDone: 0, deviceClass: undefined };
    this.happen({ type: "run-prepared", runId, ...facts, evaluate: false, stopped: false });
    for (const trainerId of ["t1", "t2"]) this.join(trainerId);
  }

  happen(input: Input): void {
    const { state, facts } = transition(this.#state, { nowMs: this.nowMs, ...input });
    this.report(...facts);
    this.#state = state;
  }

  report(...facts: Fact[]): void {
    this.traces.observe(facts);
  }

  join(trainerId: string): void {
    this.happen({ type: "trainer-joined", trainerId, deviceClass: "cpu" });
    this.happen({ type: "trainer-pulled", trainerId, tasks: 16 });
  }

  get tasks() {
    return this.#state.tasks;
  }

  /** The micro-batches of a step arrive. */
  arrive(): void {
    for (let i = 0; i < 2; i++) this.happen({ type: "micro-batch-arrived", runId, lastOfStep: i === 1 });
  }

  /** All assigned micro-batches return, and the optimizer applies the step. */
  finish(): void {
    for (const { taskId, trainerId } of this.tasks) {
      const numbers = { lossSum: 4, targetTokens: 2, gradients: new Map() };
      const times = { computeMs: 3, waitMs: 5, fetchMs: 2 };
      this.nowMs += 10;
      this.happen({ type: "result-arrived", taskId, result: { ...numbers, ...times } });
      this.happen({ type: "trainer-pulled", trainerId, tasks: 1 });
    }
    this.happen({ type: "step-applied", runId, evaluate: false });
  }
}

const spans = (name?: string) => exporter.getFinishedSpans().filter((span) => !name || span.name === name);
const inRun = (name: string) => spans(name).filter((span) => span.spanContext().traceId === TRACE);

test("the first step is part of the run's trace, with each micro-batch and its times", () => {
  const world = new World();
  world.arrive();
  assert.match(world.traces.traceparentOf(world.tasks[0] as never), new RegExp(`^00-${TRACE}-`));
  world.finish();
  const [made] = inRun("step");
  assert.equal(made?.parentSpanContext?.spanId, SPAN);
  const microBatches = inRun("micro-batch");
  assert.equal(microBatches.length, 2);
  assert.ok(microBatches.every((span) => span.parentSpanContext?.spanId === made?.spanContext().spanId));
  const { attributes } = microBatches[0] as (typeof microBatches)[0];
  assert.equal(attributes["gradpool.outcome"], "accepted");
  assert.equal(attributes["gradpool.loss"], 2);
  assert.equal(attributes["gradpool.compute_ms"], 3);
  // Of 10 ms between assignment and result, 3 were computing, and 5 waiting, of which 2 for the adapter.
  assert.equal(attributes["gradpool.wait_ms"], 3);
  assert.equal(attributes["gradpool.transfer_ms"], 10 - 3 - 3);
});

test("each span has the run's name, and the one of the run its tags", () => {
  const spec = { ...RunSpec.create(), runName: "nightly", tags: ["team-a", "lr"] };
  const world = new World("01", { spec });
  world.arrive();
  world.finish();
  world.report({ type: "run-ended", runId, outcome: "completed", code: "", message: "", at: new Date() });
  assert.deepEqual([...new Set(spans().map(({ name }) => name))].sort(), ["micro-batch", "run", "step"]);
  assert.ok(spans().every(({ attributes }) => attributes["gradpool.run_name"] === "nightly"));
  assert.deepEqual(spans("run")[0]?.attributes["gradpool.tags"], ["team-a", "lr"]);
  assert.equal(spans("step")[0]?.attributes["gradpool.tags"], undefined);
});

test("later steps have their own traces, linked to the run's, one in ten seconds", () => {
  const world = new World();
  for (let i = 0; i < 100; i++) {
    world.arrive();
    world.finish();
    world.nowMs += 1_000 - 20;
  }
  assert.equal(inRun("step").length, 1);
  const own = spans("step").filter((span) => span.spanContext().traceId !== TRACE);
  assert.equal(own.length, 99_000 / OWN_TRACE_INTERVAL_MS + 0.1);
  assert.ok(own.every(({ links }) => links[0]?.context.traceId === TRACE));
});

test("a lost trainer's micro-batch is an error in the run's trace, and its retry another span", () => {
  const world = new World();
  for (let i = 0; i < 2; i++) {
    world.arrive();
    world.finish();
  }
  world.arrive();
  exporter.reset();
  world.happen({ type: "trainer-left", trainerId: "t1" });
  world.finish();
  const [lost, ...others] = inRun("micro-batch");
  assert.equal(lost?.status.message, "unavailable: its trainer was lost; another computes it");
  assert.equal(lost?.attributes["gradpool.trainer_id"], "t1");
  const retry = others.find((span) => span.attributes["gradpool.attempt"] === 2);
  assert.equal(retry?.attributes["gradpool.trainer_id"], "t2");
  assert.equal(retry?.attributes["gradpool.micro_batch"], lost?.attributes["gradpool.micro_batch"]);
  assert.equal(inRun("step").length, 1);
  assert.equal(retry?.parentSpanContext?.spanId, inRun("step")[0]?.spanContext().spanId);
});

test("a run's trace stays readable, however often trainers are lost", () => {
  const world = new World();
  for (let i = 0; i < 3 * MAX_GROUPS_IN_RUN; i++) {
    world.arrive();
    world.happen({ type: "trainer-left", trainerId: "t1" });
    world.finish();
    world.join("t1");
  }
  assert.equal(inRun("step").length, MAX_GROUPS_IN_RUN);
});

test("the step after a pause is part of the run's trace, and nothing is left open at the end", () => {
  const world = new World();
  world.arrive();
  world.happen({ type: "run-paused", runId });
  assert.deepEqual(
    inRun("micro-batch").map(({ attributes }) => attributes["gradpool.outcome"]),
    ["cancelled", "cancelled"],
  );
  world.happen({ type: "run-resumed", runId });
  world.finish();
  assert.equal(inRun("step").length, 2);
  world.arrive();
  world.happen({ type: "run-failed", runId, code: "data_loss", message: "gone" });
  const error = { code: "data_loss", message: "gone" };
  world.run = runNamed(runId, { state: RunState.RUN_STATE_FAILED, error });
  world.report({ type: "run-ended", runId, outcome: "failed", ...error, at: new Date() });
  assert.equal(inRun("run")[0]?.status.message, "data_loss: gone");
  assert.equal(world.traces.traceparentOf({ runId, taskId: "x" } as never), "");
});

test("a run that was not sampled has no spans", () => {
  const world = new World("00");
  world.arrive();
  world.finish();
  assert.deepEqual(spans(), []);
});
