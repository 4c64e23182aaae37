/** What a trainer counts and times; docs/metrics.md says how to use it. */
import { MetricSet, type Registry } from "@gradpool/service-kit";
import type { ComputeResult, ComputeTask } from "./compute-messages.js";

const MICRO_BATCH_SECONDS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const TRANSFER_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
/** From a few megabytes to billions of weights. */
const LOAD_SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100];

function metricsIn(set: MetricSet) {
  return {
    computing: set.histogram(
      "gradpool_trainer_micro_batch_seconds",
      "Time this trainer took to compute a micro-batch, by kind: train or evaluation.",
      MICRO_BATCH_SECONDS,
      "kind",
    ),
    busy: set.counter("gradpool_trainer_busy_seconds_total", "Time this trainer's device spent computing."),
    failed: set.counter("gradpool_trainer_failures_total", "Micro-batches that this trainer could not compute."),
    loading: set.histogram(
      "gradpool_trainer_base_load_seconds",
      "Time to load a base model, from its files to a session that can compute.",
      LOAD_SECONDS,
    ),
    transfers: set.histogram(
      "gradpool_trainer_transfer_seconds",
      "Time of a transfer, by kind: adapter (from the coordinator) or gradients (to it).",
      TRANSFER_SECONDS,
      "kind",
    ),
    transferred: set.counter("gradpool_trainer_transfer_bytes_total", "Bytes transferred, by kind.", "kind"),
  };
}

export class TrainerMetrics {
  readonly #metrics: ReturnType<typeof metricsIn>;

  /** `connected`: the number of coordinators that it is connected to. */
  constructor(registry: Registry, connected: () => number) {
    const set = new MetricSet(registry);
    this.#metrics = metricsIn(set);
    const { computing, transfers, transferred } = this.#metrics;
    for (const kind of ["train", "evaluation"]) computing.zero({ kind });
    for (const kind of ["adapter", "gradients"]) {
      transfers.zero({ kind });
      transferred.inc({ kind }, 0);
    }
    set.gauge("gradpool_trainer_connected", "1 while connected to a coordinator, else 0.", [], () => [
      [Math.min(1, connected())],
    ]);
    set.gauge("gradpool_trainer_coordinators", "Coordinators that this trainer is connected to.", [], () => [
      [connected()],
    ]);
  }

  /** Computes with `run`. */
  async compute(task: ComputeTask, run: (task: ComputeTask) => Promise<ComputeResult>): Promise<ComputeResult> {
    const { computing, busy, failed } = this.#metrics;
    try {
      const result = await run(task);
      computing.observe({ kind: task.evaluate ? "evaluation" : "train" }, result.computeMs / 1000);
      busy.inc(result.computeMs / 1000);
      return result;
    } catch (error) {
      failed.inc();
      throw error;
    }
  }

  baseLoaded(seconds: number): void {
    this.#metrics.loading.observe(seconds);
  }

  /** Transfers with `move`; `sizeBytes` is the size, once it is known. */
  async transfer<T>(
    kind: "adapter" | "gradients",
    move: () => Promise<T>,
    sizeBytes: (moved: T) => number,
  ): Promise<T> {
    const startedAt = performance.now();
    const moved = await move();
    this.#metrics.transfers.observe({ kind }, (performance.now() - startedAt) / 1000);
    this.#metrics.transferred.inc({ kind }, sizeBytes(moved));
    return moved;
  }
}
