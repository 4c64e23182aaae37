/** The service's side of its threads. */
import type { Client, TokenizerRef, TokenizerServiceService } from "@gradpool/rpc";
import { JobThreads, type Bounds } from "@gradpool/threads";
import type { DataJob, DataValues, EncoderCall, EncoderFacts } from "./data-jobs.js";
import type { DataStreamMetrics } from "./metrics.js";
import { TokenizerEncoder } from "./tokenizer-encoder.js";

/** A block of rows, a page of a parquet file, or a chat takes far less of both. */
export const BOUNDS: Bounds = { heapMb: 1024, stuckMs: 15_000 };

/** Micro-batches prepared before the client reads them, besides those in gRPC's window. */
const PREPARED_MICRO_BATCHES = 8;

/** Runs each call's work on files in a thread of its own, and encodes for it. */
export class DataThreads implements AsyncDisposable {
  readonly #threads: JobThreads;
  readonly #tokenizer: Client<TokenizerServiceService>;
  readonly #metrics: DataStreamMetrics;

  constructor(tokenizer: Client<TokenizerServiceService>, metrics: DataStreamMetrics, bounds: Bounds) {
    const advice = "correct or replace the file, or the model's chat template";
    this.#threads = new JobThreads({ module: new URL("./data-thread.js", import.meta.url), bounds, advice });
    this.#threads.prepare();
    this.#tokenizer = tokenizer;
    this.#metrics = metrics;
  }

  /** Errors: the job's own; `failed_precondition` when it exceeds the bounds. */
  run<K extends DataJob["kind"]>(
    job: Extract<DataJob, { kind: K }>,
    signal: AbortSignal,
  ): AsyncGenerator<DataValues[K]> {
    const ref = job.request.dataset?.tokenizer;
    return this.#threads.run<DataValues[K]>(job, {
      ...{ signal, work: "opening the data set", ahead: PREPARED_MICRO_BATCHES },
      onCall: this.#encoderFor(ref, job.kind === "stream", signal),
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#threads[Symbol.asyncDispose]();
  }

  #encoderFor(ref: TokenizerRef | undefined, isCounted: boolean, signal: AbortSignal) {
    let loaded: TokenizerEncoder | undefined;
    return async (call: EncoderCall): Promise<EncoderFacts | Int32Array[]> => {
      if (call.kind === "load") {
        if (!ref) throw new Error("a job asked for an encoder without naming a tokenizer");
        loaded = await TokenizerEncoder.create(this.#tokenizer, ref, signal);
        const { key, eosId, padId, chatTemplate, truncationSide } = loaded;
        return { key, eosId, padId, chatTemplate, truncationSide };
      }
      if (!loaded) throw new Error("a job encoded before it loaded its encoder");
      if (isCounted) this.#metrics.encoded(call.texts);
      return loaded.encode(call.texts, call.maxTokens, signal, call.options);
    };
  }
}
