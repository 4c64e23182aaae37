import { Worker } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import type { EncodedTexts, EncodeJob, EncodeReplyMessage, EncodeRequestMessage } from "./encode-job.js";

interface Waiting {
  resolve: (encoded: EncodedTexts) => void;
  reject: (error: unknown) => void;
}

interface Thread {
  worker: Worker;
  waiting: Map<number, Waiting>;
}

/** Threads that encode, so that the service's event loop never does (I10). */
export class EncodePool implements AsyncDisposable {
  readonly #onDeath: (error: Error) => void;
  #threads: Thread[] = [];
  #nextId = 0;
  #disposed = false;

  /** `onDeath` is told of a thread that ended; another takes its place. */
  constructor(workers: number, onDeath: (error: Error) => void) {
    this.#onDeath = onDeath;
    this.#threads = Array.from({ length: workers }, () => this.#start());
  }

  /** Encodes on the least busy thread. Errors: those of the tokenizer; `unavailable` when the thread dies. */
  encode(job: EncodeJob): Promise<EncodedTexts> {
    const [thread] = [...this.#threads].sort((a, b) => a.waiting.size - b.waiting.size);
    if (!thread || this.#disposed) throw new GradpoolError("unavailable", "the tokenizer service is stopping");
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      thread.waiting.set(id, { resolve, reject });
      thread.worker.postMessage({ id, job } satisfies EncodeRequestMessage);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #start(): Thread {
    const thread: Thread = {
      worker: new Worker(new URL("./encode-worker.js", import.meta.url)),
      waiting: new Map(),
    };
    let cause = new Error("an encoding thread ended");
    thread.worker.on("message", (reply: EncodeReplyMessage) => {
      const waiting = thread.waiting.get(reply.id);
      thread.waiting.delete(reply.id);
      if ("encoded" in reply) waiting?.resolve(reply.encoded);
      else waiting?.reject(new GradpoolError(reply.error.code, reply.error.message));
    });
    thread.worker.on("error", (error) => (cause = error));
    thread.worker.on("exit", () => {
      const error = new GradpoolError("unavailable", "an encoding thread died; send the texts again", { cause });
      for (const { reject } of thread.waiting.values()) reject(error);
      if (this.#disposed) return;
      this.#onDeath(cause);
      this.#threads = this.#threads.map((other) => (other === thread ? this.#start() : other));
    });
    return thread;
  }
}
