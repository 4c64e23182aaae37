import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import type { Logger } from "@gradpool/service-kit";
import {
  post,
  type ComputeAnswer,
  type ComputeOptions,
  type ComputeResult,
  type ComputeTask,
} from "./compute-messages.js";

export interface ComputeThreadOptions extends ComputeOptions {
  log: Logger;
  /** Called with the duration whenever a base model was loaded. */
  onLoaded?: ((seconds: number) => void) | undefined;
  /** Called once when the thread ends without having been asked to, after a log line that says why. */
  onCrash: () => void;
  /** What the thread runs instead of compute-worker.js, in tests. */
  module?: URL | undefined;
}

interface Waiting {
  resolve(result: ComputeResult): void;
  reject(error: GradpoolError): void;
}

/** The main thread's side of the compute thread (I10). */
export class ComputeThread implements AsyncDisposable {
  /** Version of ONNX Runtime in the thread. */
  readonly onnxRuntimeVersion: string;
  readonly #worker: Worker;
  readonly #log: Logger;
  readonly #onLoaded: (seconds: number) => void;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #closing = false;
  #exited: Promise<void>;

  private constructor(
    worker: Worker,
    onnxRuntimeVersion: string,
    { log, onLoaded = () => {}, onCrash }: ComputeThreadOptions,
  ) {
    this.onnxRuntimeVersion = onnxRuntimeVersion;
    this.#worker = worker;
    this.#log = log;
    this.#onLoaded = onLoaded;
    let failure: unknown;
    worker.on("message", (answer: ComputeAnswer) => this.#onAnswer(answer));
    worker.on("error", (error) => (failure = error));
    this.#exited = new Promise((resolve) => {
      worker.on("exit", (code) => {
        resolve();
        const reason = failure instanceof Error ? failure.message : `exit code ${code}`;
        this.#failAll(new GradpoolError("unavailable", `the trainer's compute thread ended: ${reason}`));
        if (this.#closing) return;
        log.fatal({ err: failure }, `the compute thread died (${reason}); the trainer exits; restart it`);
        onCrash();
      });
    });
  }

  /** Starts the thread. Errors: plain ones when ONNX Runtime cannot be loaded on this machine. */
  static async create(options: ComputeThreadOptions): Promise<ComputeThread> {
    const module = options.module ?? new URL("./compute-worker.js", import.meta.url);
    const { threads, gpu, models } = options;
    const workerData: ComputeOptions = { threads, gpu, models };
    const worker = new Worker(module, { workerData, name: "compute" });
    const [ready] = (await Promise.race([once(worker, "message"), earlyExit(worker)])) as [ComputeAnswer];
    if (ready.type !== "ready") throw new Error(`the compute thread sent ${ready.type} before ready`);
    return new ComputeThread(worker, ready.onnxRuntimeVersion, options);
  }

  /** Hands over an adapter's safetensors file, whose buffer is transferred, and returns the adapter's id. */
  addAdapter(file: Uint8Array<ArrayBuffer>): number {
    const adapterId = ++this.#lastId;
    post(this.#worker, { type: "adapter", adapterId, file });
    return adapterId;
  }

  /** Later tasks do not use the adapter; those already handed over still find it. */
  dropAdapter(adapterId: number): void {
    post(this.#worker, { type: "drop-adapter", adapterId });
  }

  /**
   * Loss and gradients of a micro-batch, one after the other; the buffer of its ids is transferred.
   * Errors: those caused by the task's model, adapter or size; `unavailable` when the thread dies.
   */
  run(task: ComputeTask): Promise<ComputeResult> {
    const requestId = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(requestId, { resolve, reject });
      post(this.#worker, { type: "run", requestId, task });
    });
  }

  /** Ends the thread after the current computation: ONNX Runtime cannot be interrupted. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    post(this.#worker, { type: "close" });
    await this.#exited;
  }

  #onAnswer(answer: ComputeAnswer): void {
    switch (answer.type) {
      case "loading":
        return this.#log.info({ model: answer.modelId }, "loading a base model");
      case "loaded":
        this.#onLoaded(answer.seconds);
        return this.#log.info({ model: answer.modelId, seconds: answer.seconds }, "base model loaded");
      case "done":
        return this.#take(answer.requestId)?.resolve(answer.result);
      case "failed":
        if (answer.stack) this.#log.error({ stack: answer.stack }, "a task failed in the compute thread");
        return this.#take(answer.requestId)?.reject(new GradpoolError(answer.code, answer.message));
      case "ready":
        throw new Error("the compute thread sent ready twice");
    }
  }

  #take(requestId: number): Waiting | undefined {
    const waiting = this.#waiting.get(requestId);
    this.#waiting.delete(requestId);
    return waiting;
  }

  #failAll(error: GradpoolError): void {
    for (const requestId of [...this.#waiting.keys()]) this.#take(requestId)?.reject(error);
  }
}

async function earlyExit(worker: Worker): Promise<never> {
  const [code] = (await once(worker, "exit")) as [number];
  throw new Error(`the compute thread ended with exit code ${code} before it was ready`);
}
