/**
 * A thread for files of others, which cannot stop the process that reads them: its heap is bounded, and a thread whose
 * loop does not turn is ended. What it works on then fails with an error that names it; everything else continues.
 */
import { MessageChannel, Worker, type MessagePort, type Transferable } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import type { ThreadStart } from "./inside.js";

export interface Bounds {
  /** Of JavaScript values, in MiB; the bytes of files are bounded by those who read them. */
  heapMb: number;
  /** Longest stretch of work without a turn of the thread's loop. */
  stuckMs: number;
}

export interface ThreadOptions {
  module: URL;
  /** For `threadData()` in the module, which must import this package. */
  data?: unknown;
  bounds: Bounds;
  /** What to do about work that exceeds them; "correct or replace the file" unless given. */
  advice?: string | undefined;
  onMessage: (message: never) => void;
  /** Called once when it ends by itself or is ended for exceeding its bounds, not when it is disposed. */
  onEnd: (error: Error) => void;
}

const OUT_OF_MEMORY = "ERR_WORKER_OUT_OF_MEMORY";

/** How often a pulse is asked for within `stuckMs`. */
const PULSES = 4;

export class GuardedThread implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #bounds: Bounds;
  readonly #advice: string;
  readonly #pulse: MessagePort;
  readonly #onEnd: (error: Error) => void;
  /** What it works on, for errors; undefined: it waits for work, and is not watched. */
  #work: string | undefined;
  #watch: NodeJS.Timeout | undefined;
  /** When the unanswered pulse was asked for. */
  #askedMs: number | undefined;
  /** Its code is loaded: a pulse came without being asked for. */
  #isLoaded = false;
  #hasEnded = false;

  constructor({ module, data, bounds, advice = "correct or replace the file", onMessage, onEnd }: ThreadOptions) {
    const { port1, port2 } = new MessageChannel();
    this.#bounds = bounds;
    this.#advice = advice;
    this.#onEnd = onEnd;
    this.#pulse = port1;
    port1.on("message", () => {
      this.#isLoaded = true;
      this.#askedMs = undefined;
    });
    port1.unref();
    const workerData: ThreadStart = { data, pulse: port2 };
    this.#worker = new Worker(module, {
      workerData,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: bounds.heapMb },
    });
    this.#worker.on("message", onMessage as (message: unknown) => void);
    this.#worker.on("error", (error) => this.#end(this.#reasonOf(error)));
    this.#worker.on("exit", (code) => this.#end(new Error(`a thread ended with exit code ${code}`)));
  }

  post(message: unknown, transfer: readonly Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** From now on it works on `work`, as a message says it ("reading rows.jsonl"); undefined: on nothing. */
  set work(work: string | undefined) {
    this.#work = work;
    clearInterval(this.#watch);
    this.#askedMs = undefined;
    if (work === undefined || this.#hasEnded) return;
    this.#watch = setInterval(() => this.#ask(), this.#bounds.stuckMs / PULSES);
    this.#watch.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hasEnded = true;
    await this.#close();
  }

  #ask(): void {
    if (!this.#isLoaded) return;
    const now = performance.now();
    if (this.#askedMs === undefined) {
      this.#askedMs = now;
      this.#pulse.postMessage(0);
    } else if (now - this.#askedMs >= this.#bounds.stuckMs) {
      // If this thread was held up itself, the answer is already here, and read before this.
      setImmediate(() => {
        if (this.#askedMs !== undefined) this.#end(this.#exceeded(`${this.#bounds.stuckMs / 1000} s at a stretch`));
      });
    }
  }

  #reasonOf(error: Error & { code?: string }): Error {
    return error.code === OUT_OF_MEMORY ? this.#exceeded(`${this.#bounds.heapMb} MiB of memory`) : error;
  }

  #exceeded(bound: string): GradpoolError {
    const message = `${this.#work ?? "a thread"} took more than ${bound} and was stopped; ${this.#advice}`;
    return new GradpoolError("failed_precondition", message);
  }

  #end(error: Error): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    void this.#close();
    this.#onEnd(error);
  }

  async #close(): Promise<void> {
    clearInterval(this.#watch);
    this.#pulse.close();
    await this.#worker.terminate();
  }
}
