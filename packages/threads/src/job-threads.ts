/** Jobs on files of others, each in a guarded thread of its own, so that none of them can hold up another. */
import { AsyncResource } from "node:async_hooks";
import { GradpoolError } from "@gradpool/errors";
import { GuardedThread, type Bounds } from "./guarded-thread.js";
import type { FromThread, ToThread } from "./job-messages.js";
import { fromPlain, toPlain } from "./plain-error.js";

/** How long a job that nobody wants any more may take to end by itself; then its thread is ended. */
const STOP_MS = 1_000;

/** Threads kept for the next job. */
const MAX_IDLE = 2;

export interface JobThreadsOptions {
  /** Calls serveJobs. */
  module: URL;
  bounds: Bounds;
  advice?: string | undefined;
}

export interface JobOptions {
  /** Ends the job, and within a second its thread where it does not heed it. */
  signal: AbortSignal;
  /** What it works on until it says otherwise, for errors ("opening the data set"). */
  work: string;
  /** Values prepared before they are asked for; 1 unless given. */
  ahead?: number | undefined;
  /** Answers what the job asks, in the caller's async context. Values must be cloneable. */
  onCall?: (request: never) => Promise<unknown>;
}

export class JobThreads implements AsyncDisposable {
  readonly #options: JobThreadsOptions;
  readonly #all = new Set<JobThread>();
  readonly #idle: JobThread[] = [];
  #ended = false;

  constructor(options: JobThreadsOptions) {
    this.#options = options;
  }

  /** Starts a thread, so that the next job finds its code loaded. */
  prepare(): void {
    if (this.#idle.length === 0) this.#idle.push(this.#start());
  }

  /**
   * The values of a job. Errors: the job's; `failed_precondition` when it exceeds its bounds, naming what it worked on;
   * the signal's reason.
   */
  async *run<O>(input: unknown, options: JobOptions): AsyncGenerator<O> {
    const { signal } = options;
    signal.throwIfAborted();
    if (this.#ended) throw new GradpoolError("unavailable", "the service is stopping; try again");
    const thread = this.#rested() ?? this.#start();
    const values = thread.begin(input, options);
    const stop = () => values.fail(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    try {
      for (let next = await values.next(); !next.done; next = await values.next()) {
        yield next.value as O;
        thread.more();
      }
    } finally {
      signal.removeEventListener("abort", stop);
      void this.#rest(thread);
    }
  }

  /** The value of a job that has one. Errors: as run. */
  async only<O>(input: unknown, options: JobOptions): Promise<O> {
    let only: { value: O } | undefined;
    for await (const value of this.run<O>(input, options)) only = { value };
    if (!only) throw new Error("a job ended without its value");
    return only.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await Promise.all([...this.#all].map((thread) => this.#drop(thread)));
  }

  /** An idle thread that has not ended by itself. */
  #rested(): JobThread | undefined {
    for (let thread = this.#idle.pop(); thread; thread = this.#idle.pop()) {
      if (!thread.hasEnded) return thread;
      void this.#drop(thread);
    }
    return undefined;
  }

  #start(): JobThread {
    const thread = new JobThread(this.#options);
    this.#all.add(thread);
    return thread;
  }

  async #rest(thread: JobThread): Promise<void> {
    const isFree = await thread.finish(STOP_MS);
    if (isFree && this.#idle.length < MAX_IDLE && !this.#ended) this.#idle.push(thread);
    else await this.#drop(thread);
  }

  async #drop(thread: JobThread): Promise<void> {
    this.#all.delete(thread);
    await thread[Symbol.asyncDispose]();
  }
}

/** A thread that does one job at a time. */
class JobThread implements AsyncDisposable {
  readonly #thread: GuardedThread;
  #values = new Values();
  #onCall: (request: unknown) => Promise<unknown> = () => Promise.reject(new Error("a job without an owner called"));

  constructor(options: JobThreadsOptions) {
    this.#thread = new GuardedThread({
      ...options,
      onMessage: (message: FromThread) => this.#receive(message),
      onEnd: (error) => this.#values.end({ error, threadEnded: true }),
    });
  }

  get hasEnded(): boolean {
    return this.#values.threadEnded;
  }

  begin(input: unknown, { work, ahead = 1, onCall }: JobOptions): Values {
    this.#values = new Values();
    if (onCall) this.#onCall = AsyncResource.bind((request: unknown) => onCall(request as never));
    this.#thread.work = work;
    this.#post({ type: "job", input, ahead });
    return this.#values;
  }

  more(): void {
    this.#post({ type: "more" });
  }

  /** Waits until the job has ended; false when the thread cannot do another. */
  async finish(limitMs: number): Promise<boolean> {
    if (!this.#values.hasEnded) this.#post({ type: "stop" });
    const limit = new AbortController();
    const isLate = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      limit.signal.addEventListener("abort", () => clearTimeout(timer));
    });
    await Promise.race([this.#values.ended, isLate]);
    limit.abort();
    this.#thread.work = undefined;
    return this.#values.hasEnded && !this.#values.threadEnded;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#values.end({
      error: new GradpoolError("unavailable", "the service is stopping; try again"),
      threadEnded: true,
    });
    await this.#thread[Symbol.asyncDispose]();
  }

  #post(message: ToThread): void {
    this.#thread.post(message);
  }

  #receive(message: FromThread): void {
    switch (message.type) {
      case "value":
        return this.#values.push(message.value);
      case "working":
        if (!this.#values.hasEnded) this.#thread.work = message.on;
        return;
      case "done":
        return this.#values.end({});
      case "failed":
        return this.#values.end({ error: fromPlain(message.error) });
      case "call":
        void this.#answer(message.id, message.request);
    }
  }

  async #answer(id: number, request: unknown): Promise<void> {
    try {
      this.#post({ type: "returned", id, answer: { value: await this.#onCall(request) } });
    } catch (error) {
      this.#post({ type: "returned", id, answer: { error: toPlain(error) } });
    }
  }
}

interface End {
  error?: Error;
  threadEnded?: boolean;
}

/** Values of a job that its owner has not taken yet. */
class Values {
  /** Resolves when the thread has done all that it will do for the job. */
  readonly ended: Promise<void>;
  readonly #values: unknown[] = [];
  #end: End | undefined;
  /** The owner wants no more. */
  #failure: Error | undefined;
  #wake = () => {};
  #setEnded = () => {};

  constructor() {
    this.ended = new Promise((resolve) => (this.#setEnded = resolve));
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  get threadEnded(): boolean {
    return this.#end?.threadEnded === true;
  }

  push(value: unknown): void {
    this.#values.push(value);
    this.#wake();
  }

  end(end: End): void {
    this.#end ??= end;
    this.#setEnded();
    this.#wake();
  }

  /** `next` fails from now on. */
  fail(error: Error): void {
    this.#failure = error;
    this.#wake();
  }

  async next(): Promise<{ done: boolean; value: unknown }> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      if (this.#values.length > 0) return { done: false, value: this.#values.shift() };
      if (this.#end?.error) throw this.#end.error;
      if (this.#end) return { done: true, value: undefined };
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
