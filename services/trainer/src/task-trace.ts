import type { GradpoolError } from "@gradpool/errors";
import type { MicroBatchTask } from "@gradpool/rpc";
import { recordError, startSpan, traceparentOf, within, withinSpan, type Span } from "@gradpool/tracing";
import type { ComputeResult } from "./compute-messages.js";

/** A trainer's part of a micro-batch's trace, from the task's arrival on; most tasks have none. */
export class TaskTrace {
  #span: Span | undefined;

  constructor({ traceparent, taskId, runId, step, microBatch, rows, rowLength }: MicroBatchTask) {
    if (traceparent === "") return;
    const attributes = {
      "gradpool.task_id": taskId,
      "gradpool.run_id": runId,
      "gradpool.step": step,
      "gradpool.micro_batch": microBatch,
      "gradpool.rows": rows,
      "gradpool.row_length": rowLength,
    };
    this.#span = startSpan("compute micro-batch", { parent: traceparent, attributes });
  }

  /** Calls and log lines of `work` are part of it. */
  within<T>(work: () => T): T {
    return this.#span ? withinSpan(this.#span, work) : within("", work);
  }

  /** It has just been computed. `waitMs`: from its arrival to its start, of which `fetchMs` for its adapter. */
  computed(
    { computeMs, lossSum, targetTokens }: Omit<ComputeResult, "gradients">,
    waitMs: number,
    fetchMs: number,
  ): void {
    const span = this.#span;
    if (!span) return;
    const startMs = Date.now() - computeMs;
    startSpan("compute", { parent: traceparentOf(span), startMs }).end();
    span.setAttributes({
      "gradpool.compute_ms": computeMs,
      "gradpool.wait_ms": waitMs - fetchMs,
      "gradpool.fetch_ms": fetchMs,
      "gradpool.tokens": targetTokens,
      "gradpool.loss": lossSum / Math.max(1, targetTokens),
    });
  }

  pushed(accepted: boolean): void {
    this.#end(accepted ? "accepted" : "late");
  }

  /** Its result is no longer needed. */
  dropped(): void {
    this.#end("cancelled");
  }

  failed(error: GradpoolError): void {
    if (this.#span) recordError(this.#span, error);
    this.#end("failed");
  }

  #end(outcome: string): void {
    this.#span?.setAttribute("gradpool.outcome", outcome);
    this.#span?.end();
    this.#span = undefined;
  }
}
