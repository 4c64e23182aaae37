import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import type { TaskFailed } from "@gradpool/rpc";

/**
 * Errors of the task, its model or its adapter, which fail on every trainer. Others, such
 * as `resource_exhausted`, may be this trainer's own problem.
 */
const PERMANENT: ReadonlySet<ErrorCode> = new Set([
  "invalid_argument",
  "failed_precondition",
  "not_found",
  "permission_denied",
  "data_loss",
  "unimplemented",
]);

/** Whether a failure to compute would repeat on any trainer. */
export function isPermanent(error: unknown): boolean {
  return PERMANENT.has(GradpoolError.from(error).code);
}

export function taskFailure(taskId: string, { code, message }: GradpoolError, permanent: boolean): TaskFailed {
  return { taskId, code, message, permanent };
}
