/** What a trainer counts and times; docs/metrics.md says what it is good for. */
import { MetricSet, type Registry } from "@gradpool/service-kit";
import type { ComputeResult, ComputeTask } from "./compute-messages.js";

const MICRO_BATCH_SECONDS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const TRANSFER_SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
/** Of a few megabytes, or of a model of billions of weights. */
const LOAD_SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100];

function metricsIn(set: MetricSet) {
  return {
    computing: set.histogram(
      "gradpool_trainer_micro_batch_seconds",
      "Time that this trainer computed on a micro-batch, by kind: train or evaluation.",
      MICRO_BATCH_SECONDS,
      "kind",
    ),
    busy: set.counter("gradpool_trainer_busy_seconds_total", "Time that this trainer's device computed."),
    failed: set.counter("gradpool_trainer_failures_total", "Micro-batches that this trainer could not compute."),
    loading: set.histogram(
      "gradpool_trainer_base_load_seconds",
      "Time from a base model's files to a session that can compute.",
      LOAD_SECONDS,
    ),
    transfers: set.histogram(
      "gradpool_trainer_transfer_seconds",
      "Time of a transfer, by kind: adapter, from the coordinator, or gradients, to it.",
      TRANSFER_SECONDS,
      "kind",
    ),
    transferred: set.counter("gradpool_trainer_transfer_bytes_total", "Bytes transferred, by kind.", "kind"),
  };
}

export class TrainerMetrics {
  readonly #metrics: ReturnType<typeof metricsIn>;

  constructor(registry: Registry, isConnected: () => boolean) {
    const set = new MetricSet(registry);
    this.#metrics = metricsIn(set);
    set.gauge("gradpool_trainer_connected", "1 while the coordinator answers.", [], () => [[isConnected() ? 1 : 0]]);
  }

  /** Computes by `run`. */
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

  /** Transfers by `move`; `sizeBytes` says how much, once that is known. */
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
