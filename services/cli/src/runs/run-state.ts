import { RunState, type Run } from "@gradpool/rpc";

const ENDED: readonly RunState[] = [
  RunState.RUN_STATE_COMPLETED,
  RunState.RUN_STATE_FAILED,
  RunState.RUN_STATE_CANCELLED,
];

/** Nothing will change any more. */
export const hasEnded = ({ state }: Run) => ENDED.includes(state);
