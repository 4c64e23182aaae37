/** gradpool run watch: follows a run from its first step on; may begin, end and begin again at any time. */
import type { CommandContext } from "../command-context.js";
import { followRun } from "../runs/follow.js";
import { Pool } from "../runs/pool.js";

export async function runWatch(runId: string, flags: { address: string }, context: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, (text) => context.output.note(text));
  await followRun(pool, runId, context);
}
