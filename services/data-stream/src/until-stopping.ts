import { setMaxListeners } from "node:events";
import { GradpoolError } from "@gradpool/errors";

/**
 * Runs a streaming call until it ends, its client leaves, or the service stops; the latter shows to the
 * client as `unavailable`, which it may retry elsewhere. `values` gets the signal to stop at.
 */
export async function* untilStopping<T>(
  callSignal: AbortSignal,
  stopping: AbortSignal,
  values: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncGenerator<T> {
  // Own listeners, removed at the end: the service's signal outlives every call.
  const controller = new AbortController();
  // One listener for each Encode call under way: more than Node expects.
  setMaxListeners(0, controller.signal);
  const abort = () => controller.abort();
  callSignal.addEventListener("abort", abort);
  stopping.addEventListener("abort", abort);
  if (callSignal.aborted || stopping.aborted) abort();
  try {
    yield* values(controller.signal);
  } catch (error) {
    if (!stopping.aborted) throw error;
    throw new GradpoolError("unavailable", "the data-stream service is shutting down; try again", { cause: error });
  } finally {
    abort();
    callSignal.removeEventListener("abort", abort);
    stopping.removeEventListener("abort", abort);
  }
}
