/** What the coordinator counts and times; docs/metrics.md says what it is good for. It only looks on. */
import type { ResultHeader } from "@gradpool/rpc";
import { BoundedLabels, MetricSet, type Registry } from "@gradpool/service-kit";
import { runOf, tasksOf, trainerOf } from "../core/lookup.js";
import type { Effect, PoolState, TaskState } from "../core/state.js";
import type { Happened } from "../event-loop.js";
import { QueueWaits } from "./queue-waits.js";
import { readPool, type PoolView } from "./pool-gauges.js";

/** From a tiny model's step to one of many micro-batches on few trainers. */
const STEP_SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];
const MICRO_BATCH_SECONDS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
/** Runs may wait for hours. */
const QUEUE_SECONDS = [0.1, 1, 10, 60, 300, 1800, 7200, 36_000];

function metricsIn(registry: Registry) {
  const set = new MetricSet(registry);
  const batches = ["device_class", "kind"] as const;
  return {
    steps: set.counter("gradpool_steps_total", "Optimizer steps made, of all runs."),
    stepSeconds: set.histogram("gradpool_step_seconds", "Time from one step of a run to its next.", STEP_SECONDS),
    tokens: set.counter("gradpool_tokens_total", "Target tokens of micro-batches that counted.", "device_class"),
    results: set.counter("gradpool_micro_batches_total", "Micro-batches that counted, by kind.", ...batches),
    computing: set.histogram(
      "gradpool_micro_batch_seconds",
      "Time that a trainer computed on a micro-batch, by kind: train or evaluation.",
      MICRO_BATCH_SECONDS,
      ...batches,
    ),
    busy: set.counter(
      "gradpool_device_busy_seconds_total",
      "Time that trainers computed, also on micro-batches that did not count.",
      "device_class",
    ),
    gradients: set.counter("gradpool_gradient_bytes_total", "Bytes of gradients received from trainers."),
    dropped: set.counter("gradpool_results_dropped_total", "Results that came too late or twice and did not count."),
    retries: set.counter(
      "gradpool_micro_batch_retries_total",
      "Micro-batches handed out again, because their trainer was lost, failed or was late.",
    ),
    failures: set.counter("gradpool_micro_batch_failures_total", "Micro-batches reported as failed.", "code"),
    lost: set.counter("gradpool_trainers_lost_total", "Trainers that went with micro-batches in hand."),
    ended: set.counter("gradpool_runs_ended_total", "Runs that ended: completed, failed or cancelled.", "outcome"),
    runQueue: set.histogram("gradpool_run_queue_seconds", "Time from submission until a run runs.", QUEUE_SECONDS),
    microBatchQueue: set.histogram(
      "gradpool_micro_batch_queue_seconds",
      "Time that a micro-batch was ready before a trainer was given it.",
      MICRO_BATCH_SECONDS,
      "device_class",
    ),
  };
}

export class CoordinatorMetrics {
  readonly #metrics: ReturnType<typeof metricsIn>;
  readonly #classes = new BoundedLabels();
  readonly #codes = new BoundedLabels();
  readonly #waits = new QueueWaits();
  /** When runs were submitted that have yet to run for the first time. */
  readonly #submittedMs = new Map<string, number>();

  /** `view` is asked at each scrape. */
  constructor(registry: Registry, view: () => PoolView) {
    this.#metrics = metricsIn(registry);
    // What an alert looks at has to be there before it happens for the first time.
    for (const outcome of ["completed", "failed", "cancelled"]) this.#metrics.ended.inc({ outcome }, 0);
    readPool(new MetricSet(registry), view);
  }

  /** The result of a micro-batch came, whether it counts or not. */
  result(
    { targetTokens, computeMs, gradientBytes }: ResultHeader,
    task: TaskState,
    accepted: boolean,
    of: string,
  ): void {
    const { tokens, results, computing, busy, gradients, dropped } = this.#metrics;
    const device_class = this.#classes.of(of);
    busy.inc({ device_class }, Math.max(0, computeMs / 1000));
    gradients.inc(gradientBytes);
    if (!accepted) return dropped.inc();
    const kind = task.evaluation ? "evaluation" : "train";
    results.inc({ device_class, kind });
    computing.observe({ device_class, kind }, computeMs / 1000);
    if (!task.evaluation) tokens.inc({ device_class }, targetTokens);
  }

  /** Something happened, and is recorded. */
  happened({ event, effects, changes, before, after }: Happened): void {
    const nowMs = performance.now();
    const { steps, stepSeconds, lost, failures } = this.#metrics;
    this.#waits.see(after, nowMs);
    for (const change of changes) {
      if (change.type === "run") this.#submittedMs.set(change.run.runId, nowMs);
      if (change.type !== "step") continue;
      steps.inc();
      stepSeconds.observe(change.step.seconds);
    }
    if (event?.type === "task-failed") failures.inc({ code: this.#codes.of(event.code) });
    if (event?.type === "trainer-left" && tasksOf(before, event.trainerId).length > 0) lost.inc();
    for (const effect of effects) this.#effect(effect, before, after, nowMs);
  }

  #effect(effect: Effect, before: PoolState, after: PoolState, nowMs: number): void {
    const { lost, ended, runQueue } = this.#metrics;
    if (effect.type === "assign") this.#assigned(effect.task, after, nowMs);
    else if (effect.type === "disconnect" && tasksOf(before, effect.trainerId).length > 0) lost.inc();
    else if (effect.type === "run-state" && effect.state === "running") {
      const submittedMs = this.#submittedMs.get(effect.runId);
      if (submittedMs !== undefined) runQueue.observe((nowMs - submittedMs) / 1000);
      this.#submittedMs.delete(effect.runId);
    } else if (effect.type === "end-run") {
      ended.inc({ outcome: effect.outcome });
      this.#submittedMs.delete(effect.runId);
    }
  }

  #assigned(task: TaskState, after: PoolState, nowMs: number): void {
    const attempts = runOf(after, task.runId)?.group[task.microBatch]?.attempts ?? 1;
    if (attempts > 1) return this.#metrics.retries.inc();
    // The core's classes tell versions apart, too.
    const [of = ""] = trainerOf(after, task.trainerId)?.deviceClass.split(", ") ?? [];
    const device_class = this.#classes.of(of);
    this.#metrics.microBatchQueue.observe({ device_class }, this.#waits.waited(task, nowMs) / 1000);
  }
}
