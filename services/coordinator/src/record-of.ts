/** What the run store is told of the core's decisions: the states of runs, and what they tell of the pool. */
import { RunState } from "@gradpool/rpc";
import type { Effect, Event, PoolState, VisibleState } from "./core/state.js";
import { poolChanges } from "./events/pool-changes.js";
import type { RecordedChange } from "./run-registry.js";

/** As what a run that ended is recorded. */
export const OUTCOMES = {
  completed: RunState.RUN_STATE_COMPLETED,
  failed: RunState.RUN_STATE_FAILED,
  cancelled: RunState.RUN_STATE_CANCELLED,
} as const;

const STATES: Record<VisibleState, RunState> = {
  queued: RunState.RUN_STATE_QUEUED,
  preparing: RunState.RUN_STATE_PREPARING,
  running: RunState.RUN_STATE_RUNNING,
  paused: RunState.RUN_STATE_PAUSED,
};

/** `effects`: those of the event, which led from `before` to `after`. */
export function recordOf(
  event: Event,
  before: PoolState,
  after: PoolState,
  effects: readonly Effect[],
): RecordedChange[] {
  const states = effects.flatMap((effect): RecordedChange[] => {
    if (effect.type !== "run-state") return [];
    const { runId, state, because } = effect;
    return [{ type: "patch", runId, patch: { state: STATES[state], pausedBecause: because } }];
  });
  return [...states, ...poolChanges(event, before, after, effects)];
}
