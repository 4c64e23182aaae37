import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { RunState, type Client, type Run, type RunServiceService, type StepMetrics } from "@gradpool/rpc";

export interface Finished {
  run: Run;
  steps: StepMetrics[];
}

const ENDED = [RunState.RUN_STATE_COMPLETED, RunState.RUN_STATE_FAILED, RunState.RUN_STATE_CANCELLED];

/** Follows a run to its end, through all outages of the coordinator; `onStep` is awaited at each step. */
export async function watchRun(
  runs: Client<RunServiceService>,
  runId: string,
  onStep?: (step: StepMetrics) => Promise<void> | void,
): Promise<Finished> {
  const steps: StepMetrics[] = [];
  for (;;) {
    let last: Run | undefined;
    try {
      for await (const { update } of runs.watchRun({ runId, afterStep: steps.length })) {
        if (update?.$case === "run") last = update.value;
        if (update?.$case !== "step") continue;
        steps.push(update.value);
        await onStep?.(update.value);
      }
    } catch (error) {
      if (!["unavailable", "cancelled"].includes(GradpoolError.from(error).code)) throw error;
    }
    if (last && ENDED.includes(last.state)) return { run: last, steps };
    // A coordinator that is down refuses at once.
    await delay(100);
  }
}
