import assert from "node:assert/strict";
import { GradpoolError } from "@gradpool/errors";
import { RunState, type Run } from "@gradpool/rpc";

/** Matcher for assert.rejects. */
export function failure(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof GradpoolError);
    assert.equal(error.code, code);
    assert.match(error.message, text);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  };
}

/** A run as it is recorded first. */
export const runNamed = (runId: string, changes: Partial<Run> = {}): Run => ({
  runId,
  spec: undefined,
  state: RunState.RUN_STATE_QUEUED,
  submittedAt: new Date(1000),
  startedAt: undefined,
  endedAt: undefined,
  step: 0,
  totalSteps: 0,
  lastStep: undefined,
  trainableParameters: 0,
  allParameters: 0,
  error: undefined,
  preparing: "",
  rows: 0,
  tokens: 0,
  pausedBecause: "",
  waitingFor: "",
  resumedFrom: undefined,
  notes: ["a note"],
  lastEvaluation: undefined,
  bestEvaluation: undefined,
  stoppedEarly: false,
  traceId: "",
  traceparent: "",
  ...changes,
});
