/** A run by its name, where a command takes its id. */
import { GradpoolError } from "@gradpool/errors";
import { RunView } from "@gradpool/rpc";
import type { Pool } from "./pool.js";

/** The argument of commands about one run, and what help says of it. */
export const RUN_ARGUMENT = ["<run_id>", "id of the run, or its name if no other run has it"] as const;

/**
 * Does `work` with a run's id. `named` is the id, or the run's name if only one run has it. Errors: those of `work`;
 * `failed_precondition` when several runs have the name.
 */
export async function withRun<T>(
  pool: Pool,
  named: string,
  signal: AbortSignal,
  work: (runId: string) => Promise<T>,
): Promise<T> {
  try {
    return await work(named);
  } catch (error) {
    if (GradpoolError.from(error).code !== "not_found") throw error;
    const [runId, ...others] = await idsNamed(pool, named, signal);
    if (runId === undefined) throw error;
    if (others.length === 0) return work(runId);
    const problem = `${others.length + 1} runs are named ${named}`;
    throw new GradpoolError("failed_precondition", `${problem}; give the id of one: ${[runId, ...others].join(", ")}`);
  }
}

async function idsNamed(pool: Pool, runName: string, signal: AbortSignal): Promise<string[]> {
  const { runs } = await pool.list({ limit: Infinity, view: RunView.RUN_VIEW_BASIC, runName }, signal);
  return runs.filter(({ spec }) => spec?.runName === runName).map(({ runId }) => runId);
}
