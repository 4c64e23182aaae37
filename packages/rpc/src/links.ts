/** Interceptors that servers and clients choose: metrics, deadlines, retries, and the end of a service. */
import { setMaxListeners } from "node:events";
import { GradpoolError } from "@gradpool/errors";
import { isOfGrpc, watchEnd, type Call, type Interceptor, type Next } from "./interceptor.js";

/** A call that a server answered. */
export interface AnsweredCall {
  /** Such as "/gradpool.v1.TokenizerService/Encode". */
  method: string;
  /** "ok", or the error's code. */
  code: string;
  seconds: number;
}

/** Reports each ended call to `observe`, also those that the client ended, but not health checks and reflection. */
export function observed(observe: (call: AnsweredCall) => void): Interceptor {
  return (next) => (call) => {
    if (isOfGrpc(call)) return next(call);
    const startedAt = performance.now();
    return watchEnd(
      () => next(call),
      (failure) => {
        const code = call.signal.aborted ? "cancelled" : failure ? GradpoolError.from(failure.error).code : "ok";
        observe({ method: call.path, code, seconds: (performance.now() - startedAt) / 1000 });
        return failure?.error;
      },
    );
  };
}

/** A time limit for calls with one response that set none themselves. Streams may last as long as a run. */
export function deadline(timeoutMs: number): Interceptor {
  return (next) => (call) => next(call.responseStream ? call : { timeoutMs, ...call });
}

/** Waits before another attempt, or throws the caller's error when there is none. */
export type Again = (error: GradpoolError) => Promise<void>;

/**
 * Repeats failed calls. `decide` is called once per call, and returns what decides after each failure; undefined: the
 * call is not repeated. A client's stream of requests cannot be sent twice, and a stream of responses is not repeated
 * after its first: its reader knows where to resume.
 */
export function retries(decide: (call: Call) => Again | undefined): Interceptor {
  return (next) => (call) => {
    const again = call.requestStream ? undefined : decide(call);
    return again ? repeated(again, next, call) : next(call);
  };
}

async function* repeated(again: Again, next: Next, call: Call): AsyncGenerator<unknown> {
  for (;;) {
    let hasBegun = false;
    try {
      for await (const response of next(call)) {
        hasBegun = true;
        yield response;
      }
      return;
    } catch (error) {
      if (hasBegun || call.signal.aborted) throw error;
      await again(GradpoolError.from(error));
    }
  }
}

/**
 * Ends a server's calls when its service stops: their signal aborts, and calls that this cancels end as `unavailable`
 * with `message`, which clients may retry elsewhere or later.
 */
export function untilStopping(stopping: AbortSignal, message: string): Interceptor {
  return (next) =>
    async function* (call) {
      // Own listeners, removed at the end: the service's signal outlives every call.
      const over = new AbortController();
      // A handler may make many calls at a time, each with a listener.
      setMaxListeners(0, over.signal);
      const abort = () => over.abort();
      call.signal.addEventListener("abort", abort);
      stopping.addEventListener("abort", abort);
      if (call.signal.aborted || stopping.aborted) abort();
      try {
        yield* next({ ...call, signal: over.signal });
      } catch (error) {
        if (!stopping.aborted || GradpoolError.from(error).code !== "cancelled") throw error;
        throw new GradpoolError("unavailable", message, { cause: error });
      } finally {
        abort();
        call.signal.removeEventListener("abort", abort);
        stopping.removeEventListener("abort", abort);
      }
    };
}
