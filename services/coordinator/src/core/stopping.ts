/**
 * How the coordinator stops: steps in progress are finished and no new one begins. So what trainers computed is
 * saved, and the next coordinator computes none of it again.
 */
import { isActive, isResting } from "./lookup.js";
import type { PoolRun, PoolState } from "./state.js";

/** Part of a step or an evaluation is computed or being computed, or the run's result is being written. */
export function isUnderWay(run: PoolRun): boolean {
  if (run.phase === "finishing") return !run.finished;
  return run.phase === "running" && (run.stepping || run.group.some(({ status }) => status !== "waiting"));
}

/** Nothing in progress continues by itself: a run that is paused, or has no trainer, is not waited for. */
export function isQuiet(state: PoolState): boolean {
  const continues = (run: PoolRun) =>
    run.phase === "finishing" || run.stepping || state.trainers.some(isActive) || hasTasks(state, run);
  return !state.runs.some((run) => isUnderWay(run) && !isResting(run) && continues(run));
}

const hasTasks = (state: PoolState, { runId }: PoolRun): boolean => state.tasks.some((task) => task.runId === runId);
