import type { Run } from "@gradpool/rpc";
import type { CommandContext } from "../command-context.js";
import type { Pool } from "./pool.js";
import { RunReport } from "./run-report.js";

/** How long a cancelled run may take to end before its pool is ended anyway. */
const CANCEL_GRACE_MS = 15_000;

/** Follows a run to its end and leaves it alone when interrupted. Errors: the run's own. */
export async function followRun(pool: Pool, runId: string, { output, interrupts }: CommandContext): Promise<Run> {
  const report = new RunReport(output);
  try {
    for await (const update of pool.watch(runId, interrupts.signal)) report.update(update);
  } finally {
    output.endProgress();
  }
  return report.finish();
}

/**
 * Follows a run to its end; when interrupted, cancels it and waits for that. `lost` ends it with that
 * error: the pool is gone. Errors: the run's own.
 */
export async function superviseRun(
  pool: Pool,
  runId: string,
  { output, interrupts }: CommandContext,
  lost?: Promise<Error>,
): Promise<Run> {
  const report = new RunReport(output);
  const gone = new AbortController();
  void lost?.then((error) => gone.abort(error));
  const cancelled = new AbortController();
  const onInterrupt = () => {
    output.endProgress();
    output.note("cancelling the run; press Ctrl-C again to quit at once");
    const signal = AbortSignal.any([AbortSignal.timeout(CANCEL_GRACE_MS), gone.signal]);
    signal.addEventListener("abort", () => cancelled.abort(signal.reason), { once: true });
    pool.cancel(runId, signal).catch((error: unknown) => cancelled.abort(error));
  };
  interrupts.signal.addEventListener("abort", onInterrupt, { once: true });
  if (interrupts.signal.aborted) onInterrupt();
  try {
    for await (const update of pool.watch(runId, AbortSignal.any([gone.signal, cancelled.signal]))) {
      report.update(update);
    }
  } catch (error) {
    gone.signal.throwIfAborted();
    interrupts.signal.throwIfAborted();
    throw error;
  } finally {
    interrupts.signal.removeEventListener("abort", onInterrupt);
    output.endProgress();
  }
  if (report.run?.error === undefined) interrupts.signal.throwIfAborted();
  return report.finish();
}
