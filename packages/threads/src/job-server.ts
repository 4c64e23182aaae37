/** The thread's side of JobThreads: one job after the other, each an async generator. */
import type { Transferable } from "node:worker_threads";
import { threadPort } from "./inside.js";
import type { FromThread, ToThread } from "./job-messages.js";
import { fromPlain, toPlain } from "./plain-error.js";

export interface JobContext {
  /** Aborted when nobody wants more. */
  signal: AbortSignal;
  /** What it works on from now on, for the error should it be stopped ("reading rows.jsonl"). */
  working(on: string): void;
  /** Asks the job's owner; see JobOptions.onCall. */
  call<T>(request: unknown): Promise<T>;
}

type Generate<I, O> = (input: I, context: JobContext) => AsyncGenerator<O>;

/** The job at work. */
interface CurrentJob {
  stopping: AbortController;
  /** Values that may be sent before the owner asks for more. */
  credits: number;
  wake: () => void;
}

/** Serves the jobs of this thread with `generate`; the buffers that `transferOf` names are moved, not copied. */
export function serveJobs<I, O>(
  generate: Generate<I, O>,
  transferOf: (value: O) => readonly Transferable[] = () => [],
): void {
  const port = threadPort();
  const post = (message: FromThread, transfer: readonly Transferable[] = []) => port.postMessage(message, transfer);
  const calls = new Calls(post);
  let current: CurrentJob | undefined;

  const serve = async (input: I, job: CurrentJob) => {
    const { signal } = job.stopping;
    const context: JobContext = {
      signal,
      working: (on) => post({ type: "working", on }),
      call: (request) => calls.make(request),
    };
    const values = generate(input, context);
    try {
      for (;;) {
        while (job.credits === 0 && !signal.aborted) await new Promise<void>((resolve) => (job.wake = resolve));
        if (signal.aborted) return;
        job.credits--;
        const { done, value } = await values.next();
        if (done) return;
        post({ type: "value", value }, transferOf(value));
      }
    } finally {
      await values.return(undefined);
    }
  };

  port.on("message", (message: ToThread) => {
    switch (message.type) {
      case "job": {
        current = { stopping: new AbortController(), credits: message.ahead, wake: () => {} };
        serve(message.input as I, current).then(
          () => post({ type: "done" }),
          (error: unknown) => post({ type: "failed", error: toPlain(error) }),
        );
        return;
      }
      case "more":
        if (current) current.credits++;
        return current?.wake();
      case "stop":
        current?.stopping.abort();
        return current?.wake();
      case "returned":
        return calls.settle(message);
    }
  });
}

/** Calls to the owner that have not been answered. */
class Calls {
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #last = 0;

  constructor(private readonly post: (message: FromThread) => void) {}

  make<T>(request: unknown): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.post({ type: "call", id, request });
    });
  }

  settle({ id, answer }: Extract<ToThread, { type: "returned" }>): void {
    const call = this.#waiting.get(id);
    this.#waiting.delete(id);
    if ("error" in answer) call?.reject(fromPlain(answer.error));
    else call?.resolve(answer.value as never);
  }
}
