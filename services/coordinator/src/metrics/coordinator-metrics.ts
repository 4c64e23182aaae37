/** What the coordinator counts and times; docs/metrics.md says how to use it. A projection of facts. */
import { ERROR_CODES } from "@gradpool/errors";
import type { ResultHeader, Run } from "@gradpool/rpc";
import { BoundedLabels, MetricSet, type Registry } from "@gradpool/service-kit";
import type { Task } from "../core/state.js";
import type { Fact } from "../facts.js";
import { readPool, type PoolView } from "./pool-gauges.js";

/** From a step of a tiny model to one of many micro-batches on few trainers. */
const STEP_SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];
const MICRO_BATCH_SECONDS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
/** Runs may wait for hours. */
const QUEUE_SECONDS = [0.1, 1, 10, 60, 300, 1800, 7200, 36_000];

function metricsIn(registry: Registry) {
  const set = new MetricSet(registry);
  const batches = ["device_class", "kind"] as const;
  return {
    steps: set.counter("gradpool_steps_total", "Optimizer steps of all runs."),
    stepSeconds: set.histogram("gradpool_step_seconds", "Time between two steps of a run.", STEP_SECONDS),
    tokens: set.counter("gradpool_tokens_total", "Target tokens of accepted micro-batches.", "device_class"),
    results: set.counter("gradpool_micro_batches_total", "Accepted micro-batches, by kind.", ...batches),
    computing: set.histogram(
      "gradpool_micro_batch_seconds",
      "Time a trainer took to compute a micro-batch, by kind: train or evaluation.",
      MICRO_BATCH_SECONDS,
      ...batches,
    ),
    busy: set.counter(
      "gradpool_device_busy_seconds_total",
      "Time trainers spent computing, including micro-batches that were not accepted.",
      "device_class",
    ),
    gradients: set.counter("gradpool_gradient_bytes_total", "Bytes of gradients received from trainers."),
    dropped: set.counter(
      "gradpool_results_dropped_total",
      "Results that were dropped because they were late or duplicates.",
    ),
    retries: set.counter(
      "gradpool_micro_batch_retries_total",
      "Micro-batches handed out again because their trainer was lost, failed or was late.",
    ),
    failures: set.counter("gradpool_micro_batch_failures_total", "Micro-batches reported as failed.", "code"),
    lost: set.counter("gradpool_trainers_lost_total", "Trainers lost while they had micro-batches."),
    ended: set.counter("gradpool_runs_ended_total", "Runs that ended: completed, failed or cancelled.", "outcome"),
    runQueue: set.histogram(
      "gradpool_run_queue_seconds",
      "Time from submission until a run starts running.",
      QUEUE_SECONDS,
    ),
    microBatchQueue: set.histogram(
      "gradpool_micro_batch_queue_seconds",
      "Time a micro-batch was ready before a trainer got it.",
      MICRO_BATCH_SECONDS,
      "device_class",
    ),
  };
}

export class CoordinatorMetrics {
  readonly #metrics: ReturnType<typeof metricsIn>;
  readonly #classes = new BoundedLabels();
  readonly #codes = new BoundedLabels();
  /** Device classes that have series. */
  readonly #joined = new Set<string>();
  /** Submission times of the runs that have not run yet. */
  readonly #submittedMs = new Map<string, number>();

  /** `view` is asked at each scrape. */
  constructor(registry: Registry, view: () => PoolView) {
    this.#metrics = metricsIn(registry);
    // An alert's series must exist before the first occurrence.
    for (const outcome of ["completed", "failed", "cancelled"]) this.#metrics.ended.inc({ outcome }, 0);
    for (const code of ERROR_CODES) this.#metrics.failures.inc({ code: this.#codes.of(code) }, 0);
    readPool(new MetricSet(registry), view);
  }

  /** The result of a micro-batch arrived, accepted or not. */
  result({ targetTokens, computeMs, gradientBytes }: ResultHeader, task: Task, accepted: boolean, of: string): void {
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

  observe(facts: readonly Fact[]): void {
    const nowMs = Date.now();
    for (const fact of facts) this.#count(fact, nowMs);
  }

  #count(fact: Fact, nowMs: number): void {
    const { steps, stepSeconds, lost, failures, ended, retries, microBatchQueue } = this.#metrics;
    switch (fact.type) {
      case "run-submitted":
      case "run-recovered":
        this.#waits(fact.run);
        break;
      case "run-state":
        if (fact.state === "running") this.#runs(fact.runId, nowMs);
        break;
      case "step-made":
        steps.inc();
        stepSeconds.observe(fact.step.seconds);
        break;
      case "task-assigned": {
        if (fact.attempt > 1) return retries.inc();
        microBatchQueue.observe({ device_class: this.#classOf(fact.deviceClass) }, fact.waitedMs / 1000);
        break;
      }
      case "trainer-joined":
        this.#classJoins(this.#classOf(fact.deviceClass));
        break;
      case "task-failed":
        failures.inc({ code: this.#codes.of(fact.code) });
        break;
      case "trainer-lost":
        if (fact.tasks.length > 0) lost.inc();
        break;
      case "run-given-up":
        this.#submittedMs.delete(fact.runId);
        break;
      case "run-over":
        ended.inc({ outcome: fact.outcome });
        this.#submittedMs.delete(fact.runId);
        break;
      default:
        break;
    }
  }

  /** The core's classes tell versions apart, too. */
  #classOf(deviceClass: string): string {
    const [of = ""] = deviceClass.split(", ");
    return this.#classes.of(of);
  }

  /** Its series exist before its first result. */
  #classJoins(device_class: string): void {
    if (this.#joined.has(device_class)) return;
    this.#joined.add(device_class);
    const { tokens, results, computing, busy, microBatchQueue } = this.#metrics;
    tokens.inc({ device_class }, 0);
    busy.inc({ device_class }, 0);
    microBatchQueue.zero({ device_class });
    for (const kind of ["train", "evaluation"]) {
      results.inc({ device_class, kind }, 0);
      computing.zero({ device_class, kind });
    }
  }

  /** A run that has not run yet; the time until it does includes restarts of the coordinator. */
  #waits({ runId, submittedAt, startedAt }: Run): void {
    if (submittedAt && !startedAt) this.#submittedMs.set(runId, submittedAt.getTime());
  }

  /** Perhaps for the first time. */
  #runs(runId: string, nowMs: number): void {
    const submittedMs = this.#submittedMs.get(runId);
    if (submittedMs !== undefined) this.#metrics.runQueue.observe(Math.max(0, nowMs - submittedMs) / 1000);
    this.#submittedMs.delete(runId);
  }
}
