import assert from "node:assert/strict";
import { GradpoolError } from "@gradpool/errors";
import { Run, RunState } from "@gradpool/rpc";

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

/** A run as first recorded. */
export const runNamed = (runId: string, changes: Partial<Run> = {}): Run => ({
  ...Run.create(),
  ...{ runId, state: RunState.RUN_STATE_QUEUED, submittedAt: new Date(1000), notes: ["a note"] },
  ...changes,
});
