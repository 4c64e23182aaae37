/** gradpool run pause, resume and cancel. */
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";

export type RunAction = "pause" | "resume" | "cancel";

export async function runControl(
  action: RunAction,
  runId: string,
  flags: { address: string },
  { output, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, (text) => output.note(text));
  const run = await pool[action](runId, interrupts.signal);
  output.document(runJson(run));
  output.say(`run ${run.runId} is ${stateName(run.state)}`);
}
