import { RunState, type Run } from "@gradpool/rpc";

export const ENDED: readonly RunState[] = [
  RunState.RUN_STATE_COMPLETED,
  RunState.RUN_STATE_FAILED,
  RunState.RUN_STATE_CANCELLED,
];

/** The states of runs that have not ended. */
export const UNFINISHED: readonly RunState[] = [
  RunState.RUN_STATE_QUEUED,
  RunState.RUN_STATE_PREPARING,
  RunState.RUN_STATE_RUNNING,
  RunState.RUN_STATE_PAUSED,
];

/** Nothing will change any more. */
export const hasEnded = ({ state }: Run) => ENDED.includes(state);
