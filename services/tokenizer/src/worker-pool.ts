import { Worker } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import type { Logger } from "@gradpool/service-kit";
import type { TokenizerMetrics } from "./metrics.js";
import type { ResultOf, TokenizerKey, Work, WorkAnswer, WorkMessage } from "./work.js";

/** Jobs given to a thread at a time, so that the next one is already there. */
const MAX_WORK_PER_THREAD = 2;

interface Job {
  message: WorkMessage;
  resolve: (result: ResultOf[keyof ResultOf]) => void;
  reject: (error: Error) => void;
}

interface Thread {
  worker: Worker;
  jobs: Map<number, Job>;
}

/** Threads that work on tokenizers. A thread that dies fails its work and is replaced. */
export class WorkerPool implements AsyncDisposable {
  readonly size: number;
  readonly #log: Logger;
  readonly #metrics: TokenizerMetrics;
  readonly #threads = new Set<Thread>();
  readonly #waiting = new Set<Job>();
  #nextId = 0;
  #ended = false;

  constructor(size: number, log: Logger, metrics: TokenizerMetrics) {
    this.size = size;
    this.#metrics = metrics;
    this.#log = log;
    for (let i = 0; i < size; i++) this.#start();
  }

  /** Work that no thread has started. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Runs the work on one of the threads. An abort withdraws work that no thread has started. Errors: those of
   * the tokenizer; `failed_precondition` when its hash is not `hash`; `unavailable` when the
   * thread died.
   */
  async run<K extends keyof ResultOf>(
    key: TokenizerKey,
    hash: string,
    work: Extract<Work, { kind: K }>,
    signal: AbortSignal,
  ): Promise<ResultOf[K]> {
    signal.throwIfAborted();
    const result = await new Promise<ResultOf[keyof ResultOf]>((resolve, reject) => {
      if (this.#ended) return reject(stopping());
      const job: Job = {
        message: { id: this.#nextId++, key, hash, work },
        resolve: (value) => {
          signal.removeEventListener("abort", takeBack);
          resolve(value);
        },
        reject: (error) => {
          signal.removeEventListener("abort", takeBack);
          reject(error);
        },
      };
      const takeBack = () => {
        if (this.#waiting.delete(job)) reject(new GradpoolError("cancelled", "cancelled"));
      };
      signal.addEventListener("abort", takeBack, { once: true });
      this.#waiting.add(job);
      this.#handOut();
    });
    return result as ResultOf[K];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    for (const job of this.#waiting) job.reject(stopping());
    this.#waiting.clear();
    await Promise.all([...this.#threads].map(({ worker }) => worker.terminate()));
  }

  #start(): void {
    const thread: Thread = { worker: new Worker(new URL("./worker.js", import.meta.url)), jobs: new Map() };
    this.#threads.add(thread);
    thread.worker.on("message", (answer: WorkAnswer) => {
      const job = thread.jobs.get(answer.id);
      thread.jobs.delete(answer.id);
      if ("loaded" in answer) this.#metrics.used(answer.loaded);
      if ("error" in answer) job?.reject(new GradpoolError(answer.error.code, answer.error.message));
      else job?.resolve(answer.result);
      this.#handOut();
    });
    thread.worker.on("error", (error) => this.#log.error({ err: error }, "a worker thread failed"));
    thread.worker.on("exit", () => {
      this.#threads.delete(thread);
      const lost = this.#ended ? stopping() : new GradpoolError("unavailable", "a tokenizer thread ended; try again");
      for (const job of thread.jobs.values()) job.reject(lost);
      if (this.#ended) return;
      this.#start();
      this.#handOut();
    });
  }

  /** Gives waiting work, first come first served, to the least busy threads. */
  #handOut(): void {
    for (const job of this.#waiting) {
      let idlest: Thread | undefined;
      for (const thread of this.#threads) {
        if (thread.jobs.size < (idlest?.jobs.size ?? MAX_WORK_PER_THREAD)) idlest = thread;
      }
      if (!idlest) return;
      this.#waiting.delete(job);
      idlest.jobs.set(job.message.id, job);
      idlest.worker.postMessage(job.message);
    }
  }
}

function stopping(): GradpoolError {
  return new GradpoolError("unavailable", "the tokenizer service is stopping; try again");
}
