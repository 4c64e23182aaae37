/** gradpool run delete: forget runs that have ended. */
import { counted } from "@gradpool/format";
import { RunView } from "@gradpool/rpc";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { age } from "../flags.js";
import { withRun } from "../runs/named-run.js";
import { Pool } from "../runs/pool.js";
import { ENDED } from "../runs/run-state.js";
import { UsageError } from "../usage-error.js";

const HELP = `
A deleted run is no longer listed, and its metrics and log are gone from the pool. Its output folder stays where it is.

Examples:
  gradpool run delete RUN_ID
  gradpool run delete --older_than 30d --dry_run
${HELP_TAIL}`;

interface Flags extends PoolFlags {
  older_than?: number;
  dry_run?: boolean;
}

export function addRunDelete(run: Command, options: ProgramOptions): void {
  const command = run.command("delete").description("forget runs that have ended; their output folders are kept");
  onPool(command.argument("[run_id...]", "ids of the runs to delete, or names that no other run has"), options)
    .addOption(
      new Option("--older_than <age>", "all runs that ended at least this long ago: 12h, 30d or 8w").argParser(age),
    )
    .option("--dry_run", "only say which runs would be deleted")
    .addHelpText("after", HELP)
    .action((runIds: string[], flags: Flags) => runDelete(runIds, flags, contextFor(flags, options)));
}

/** Errors: UsageError, and those of DeleteRun; those that were deleted before are reported. */
async function runDelete(
  runIds: readonly string[],
  flags: Flags,
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  const { older_than: olderThanMs, dry_run: isDryRun = false } = flags;
  if (runIds.length > 0 === (olderThanMs !== undefined)) {
    throw new UsageError("name the runs to delete, or give --older_than with an age such as 30d");
  }
  const { signal } = interrupts;
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const chosen = olderThanMs === undefined ? runIds : await endedBefore(pool, Date.now() - olderThanMs, signal);
  const deleted: string[] = [];
  output.failWith({ deleted });
  for (const named of chosen) {
    await withRun(pool, named, signal, async (runId) => {
      if (!isDryRun) await pool.delete(runId, signal);
      deleted.push(runId);
      output.say(`run ${runId} ${isDryRun ? "would be deleted" : "is deleted"}`);
    });
  }
  output.document({ deleted, dry_run: isDryRun || undefined });
  if (olderThanMs !== undefined) output.say(`${counted(chosen.length, "run")} ended that long ago`);
}

async function endedBefore(pool: Pool, timeMs: number, signal: AbortSignal): Promise<string[]> {
  const wanted = { limit: Infinity, view: RunView.RUN_VIEW_BASIC, states: ENDED };
  const { runs } = await pool.list(wanted, signal);
  return runs.filter(({ endedAt }) => endedAt && endedAt.getTime() < timeMs).map(({ runId }) => runId);
}
