/** gradpool run cancel: stops a run; what it saved stays. */
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";

export async function runCancel(
  runId: string,
  flags: { address: string },
  { output, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address);
  const run = await pool.cancel(runId, interrupts.signal);
  output.document(runJson(run));
  output.say(`run ${run.runId} is ${stateName(run.state)}`);
}
