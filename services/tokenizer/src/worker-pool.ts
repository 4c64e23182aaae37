import type { Logger } from "@gradpool/service-kit";
import { GradpoolError } from "@gradpool/errors";
import { fromPlain, GuardedThread, type Bounds } from "@gradpool/threads";
import type { TokenizerMetrics } from "./metrics.js";
import type { ResultOf, TokenizerKey, Work, WorkAnswer, WorkMessage } from "./work.js";

/** Jobs given to a thread at a time, so that the next one is already there. */
const MAX_WORK_PER_THREAD = 2;

/** A job of this length is slow: it holds up no others, and those of its tokenizer wait for it. */
const SLOW_MS = 1_000;

/** A thread whose job nobody wants any more may finish it in this time. */
const STOP_MS = 2_000;

/** Threads with slow jobs, for each that the pool has. */
const MAX_SLOW_PER_THREAD = 2;

/** A few large tokenizers; no text takes seconds. */
export const BOUNDS: Bounds = { heapMb: 2048, stuckMs: 20_000 };

interface Job {
  message: WorkMessage;
  /** Which tokenizer. */
  tokenizer: string;
  resolve: (result: ResultOf[keyof ResultOf]) => void;
  reject: (error: Error) => void;
}

interface Thread {
  guarded: GuardedThread;
  /** The first is being done. */
  jobs: Map<number, Job>;
  slow: NodeJS.Timeout | undefined;
  isSlow: boolean;
}

/**
 * Threads that work on tokenizers. One that dies or exceeds its bounds fails the job that it was doing and is replaced.
 * Slow jobs do not take the threads from other tokenizers.
 */
export class WorkerPool implements AsyncDisposable {
  readonly size: number;
  readonly #log: Logger;
  readonly #metrics: TokenizerMetrics;
  readonly #bounds: Bounds;
  readonly #threads = new Set<Thread>();
  readonly #waiting = new Set<Job>();
  #nextId = 0;
  #ended = false;

  constructor(size: number, log: Logger, metrics: TokenizerMetrics, bounds = BOUNDS) {
    this.size = size;
    this.#bounds = bounds;
    this.#metrics = metrics;
    this.#log = log;
    for (let i = 0; i < size; i++) this.#start();
  }

  /** Work that no thread has started. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Runs the work on one of the threads. An abort withdraws it, and ends a thread that is stuck in it. Errors: those of
   * the tokenizer; `failed_precondition` when its hash is not `hash`, or when the work exceeds the bounds;
   * `unavailable` when the thread died.
   */
  async run<K extends keyof ResultOf>(
    key: TokenizerKey,
    hash: string,
    work: Extract<Work, { kind: K }>,
    signal: AbortSignal,
  ): Promise<ResultOf[K]> {
    signal.throwIfAborted();
    if (this.#ended) throw stopping();
    const withdrawn = new AbortController();
    const result = new Promise<ResultOf[keyof ResultOf]>((resolve, reject) => {
      const job: Job = {
        message: { id: this.#nextId++, key, hash, work },
        tokenizer: JSON.stringify(key),
        ...{ resolve, reject },
      };
      const onAbort = () => this.#withdraw(job, withdrawn.signal);
      signal.addEventListener("abort", onAbort, { once: true, signal: withdrawn.signal });
      this.#waiting.add(job);
      this.#handOut();
    });
    try {
      return (await result) as ResultOf[K];
    } finally {
      withdrawn.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    for (const job of this.#waiting) job.reject(stopping());
    this.#waiting.clear();
    await Promise.all([...this.#threads].map((thread) => this.#drop(thread, stopping())));
  }

  #start(): Thread {
    const thread: Thread = {
      guarded: new GuardedThread({
        module: new URL("./worker.js", import.meta.url),
        bounds: this.#bounds,
        onMessage: (answer: WorkAnswer) => this.#onAnswer(thread, answer),
        onEnd: (error) => this.#onEnd(thread, error),
      }),
      ...{ jobs: new Map<number, Job>(), slow: undefined, isSlow: false },
    };
    this.#threads.add(thread);
    return thread;
  }

  #onAnswer(thread: Thread, answer: WorkAnswer): void {
    const job = thread.jobs.get(answer.id);
    // Taken from it when it became slow.
    if (!job) return;
    thread.jobs.delete(answer.id);
    this.#begin(thread);
    if ("loaded" in answer) this.#metrics.used(answer.loaded);
    if ("error" in answer) job.reject(fromPlain(answer.error));
    else job.resolve(answer.result);
    this.#retireOne();
    this.#handOut();
  }

  #onEnd(thread: Thread, error: Error): void {
    const [current] = thread.jobs.values();
    const isExceeded = error instanceof GradpoolError;
    this.#log.error({ err: error }, "a worker thread failed");
    void this.#drop(
      thread,
      isExceeded ? error : new GradpoolError("unavailable", "a tokenizer thread ended; try again"),
    );
    if (current && isExceeded) this.#failAll(current.tokenizer, error);
    if (this.#ended) return;
    if (this.#threads.size < this.size) this.#start();
    this.#handOut();
  }

  /** What waits for a tokenizer that no thread can work with would only hold up the next. */
  #failAll(tokenizer: string, error: GradpoolError): void {
    for (const job of this.#waiting) {
      if (job.tokenizer === tokenizer && this.#waiting.delete(job)) job.reject(error);
    }
  }

  /** Ends a thread: its first job fails with `lost`, others are done by other threads. */
  async #drop(thread: Thread, lost: GradpoolError): Promise<void> {
    this.#threads.delete(thread);
    clearTimeout(thread.slow);
    const [current, ...others] = thread.jobs.values();
    thread.jobs.clear();
    current?.reject(lost);
    for (const job of others) {
      if (this.#ended) job.reject(stopping());
      else this.#waiting.add(job);
    }
    await thread.guarded[Symbol.asyncDispose]();
  }

  #withdraw(job: Job, done: AbortSignal): void {
    const cancelled = new GradpoolError("cancelled", "cancelled");
    if (this.#waiting.delete(job)) return job.reject(cancelled);
    const late = setTimeout(() => {
      for (const thread of this.#threads) {
        const [current] = thread.jobs.values();
        if (current !== job) continue;
        void this.#drop(thread, cancelled);
        if (this.#threads.size < this.size) this.#start();
        this.#handOut();
      }
    }, STOP_MS);
    done.addEventListener("abort", () => clearTimeout(late), { once: true });
  }

  /** Gives waiting work, first come first served, to the least busy threads. */
  #handOut(): void {
    for (const job of this.#waiting) {
      const { tokenizer } = job;
      if ([...this.#threads].some((thread) => thread.isSlow && worksOn(thread) === tokenizer)) continue;
      const thread = this.#idlest() ?? this.#extra();
      if (!thread) return;
      this.#waiting.delete(job);
      // An id of its own each time: an answer to an earlier one is not this one's.
      job.message = { ...job.message, id: this.#nextId++ };
      thread.jobs.set(job.message.id, job);
      if (thread.jobs.size === 1) this.#begin(thread);
      thread.guarded.post(job.message);
    }
  }

  #idlest(): Thread | undefined {
    let idlest: Thread | undefined;
    for (const thread of this.#threads) {
      if (!thread.isSlow && thread.jobs.size < (idlest?.jobs.size ?? MAX_WORK_PER_THREAD)) idlest = thread;
    }
    return idlest;
  }

  /** A thread more, while slow jobs hold the others. */
  #extra(): Thread | undefined {
    const slow = [...this.#threads].filter(({ isSlow }) => isSlow).length;
    const isAllowed = this.#threads.size - slow < this.size && slow <= MAX_SLOW_PER_THREAD * this.size;
    return isAllowed ? this.#start() : undefined;
  }

  /** Ends the newest idle thread when there are more than the pool has without slow jobs. */
  #retireOne(): void {
    const quick = [...this.#threads].filter(({ isSlow }) => !isSlow);
    const newest = quick.length > this.size ? quick.findLast(({ jobs }) => jobs.size === 0) : undefined;
    if (newest) void this.#drop(newest, stopping());
  }

  /** Its first job is being done from now on. */
  #begin(thread: Thread): void {
    clearTimeout(thread.slow);
    thread.isSlow = false;
    const [current] = thread.jobs.values();
    const { key, work } = current?.message ?? {};
    thread.guarded.work = key && `${work?.kind === "encode" ? "encoding with" : "loading"} the tokenizer in ${key.dir}`;
    if (current) thread.slow = setTimeout(() => this.#slowed(thread), SLOW_MS);
  }

  #slowed(thread: Thread): void {
    thread.isSlow = true;
    const [, ...others] = thread.jobs;
    for (const [id, job] of others) {
      thread.jobs.delete(id);
      this.#waiting.add(job);
    }
    this.#handOut();
  }
}

const worksOn = ({ jobs }: Thread): string | undefined => jobs.values().next().value?.tokenizer;

function stopping(): GradpoolError {
  return new GradpoolError("unavailable", "the tokenizer service is stopping; try again");
}
