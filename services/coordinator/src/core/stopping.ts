/**
 * How the coordinator comes to its end: steps that are under way are finished and none is begun. So what trainers computed is
 * in what runs save, and the next coordinator has none of it computed again.
 */
import { isActive, isResting } from "./lookup.js";
import type { PoolRun, PoolState } from "./state.js";

/** Part of a step or an evaluation is computed or being computed, or the run's result is being written. */
export function isUnderWay(run: PoolRun): boolean {
  if (run.phase === "finishing") return !run.finished;
  return run.phase === "running" && (run.stepping || run.group.some(({ status }) => status !== "waiting"));
}

/** Nothing is under way that continues by itself: what rests, or has no trainer to continue with, is not waited for. */
export function isQuiet(state: PoolState): boolean {
  const continues = (run: PoolRun) =>
    run.phase === "finishing" || run.stepping || state.trainers.some(isActive) || hasTasks(state, run);
  return !state.runs.some((run) => isUnderWay(run) && !isResting(run) && continues(run));
}

const hasTasks = (state: PoolState, { runId }: PoolRun): boolean => state.tasks.some((task) => task.runId === runId);
