import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import type { Evaluation, ResumePoint, StepMetrics } from "@gradpool/rpc";
import type { ChartData } from "./charts-worker.js";
import type { Files } from "./files.js";
import { inheritedSteps } from "./progress.js";

/** How long the charts of one run may take to draw; 100,000 steps take seconds. */
const LIMIT_MS = 60_000;

/** How long the thread waits for another run: loading the drawing library takes longer than to draw. */
const KEPT_MS = 10_000;

const WORKER = new URL("./charts-worker.js", import.meta.url);

/** Draws plots in a thread, since that takes a while (I10), for one run at a time. */
export class Charts {
  readonly #worker: URL;
  readonly #limitMs: number;
  /** Waits for another run. */
  #idle: { worker: Worker; end: NodeJS.Timeout } | undefined;
  /** Settles when the last run in the queue is drawn. */
  #last: Promise<unknown> = Promise.resolve();

  constructor({ worker = WORKER, limitMs = LIMIT_MS }: { worker?: URL; limitMs?: number } = {}) {
    this.#worker = worker;
    this.#limitMs = limitMs;
  }

  /** Errors: those of drawing; `deadline_exceeded` when it takes too long; the signal's reason. */
  async draw(data: ChartData, signal: AbortSignal): Promise<Files> {
    signal.throwIfAborted();
    const drawing = this.#last.then(() => this.#draw(data, signal));
    this.#last = drawing.catch(() => {});
    // A run that is stopped does not wait for its turn.
    const { promise: stopped, stop } = stoppedBy(signal);
    try {
      return await Promise.race([drawing, stopped]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  async #draw({ steps, evaluations, title }: ChartData, signal: AbortSignal): Promise<Files> {
    signal.throwIfAborted();
    const limit = AbortSignal.timeout(this.#limitMs);
    const worker = this.#takeIdle() ?? new Worker(this.#worker);
    try {
      worker.postMessage({ steps, evaluations, title } satisfies ChartData);
      const [files] = (await once(worker, "message", { signal: AbortSignal.any([signal, limit]) })) as [Files];
      this.#keep(worker);
      return files;
    } catch (error) {
      await worker.terminate();
      signal.throwIfAborted();
      if (!limit.aborted) throw error;
      const message = `drawing took more than ${this.#limitMs / 1000} s`;
      throw new GradpoolError("deadline_exceeded", message, { cause: error });
    }
  }

  #takeIdle(): Worker | undefined {
    const idle = this.#idle;
    this.#idle = undefined;
    clearTimeout(idle?.end);
    idle?.worker.ref();
    return idle?.worker;
  }

  #keep(worker: Worker): void {
    worker.unref();
    const end = setTimeout(() => void this.#takeIdle()?.terminate(), KEPT_MS).unref();
    this.#idle = { worker, end };
  }
}

function stoppedBy(signal: AbortSignal): { promise: Promise<never>; stop: () => void } {
  let stop = () => {};
  const promise = new Promise<never>((_, reject) => (stop = () => reject(signal.reason as Error)));
  signal.addEventListener("abort", stop, { once: true });
  return { promise, stop };
}

/**
 * When a run's first step would have begun had nothing ever paused, in ms since 1970: `startedAt`, less the time of the
 * steps and evaluations inherited from an earlier run.
 */
export function firstStepMs(
  startedAt: Date,
  resumedFrom: ResumePoint | undefined,
  steps: readonly StepMetrics[],
  evaluations: readonly Evaluation[],
): number {
  const stepsBefore = inheritedSteps(resumedFrom);
  const before = [...steps, ...evaluations].filter(({ step }) => step <= stepsBefore);
  return startedAt.getTime() - 1000 * before.reduce((sum, { seconds }) => sum + seconds, 0);
}
