/** gradpool run submit: queues a run and answers at once, or follows it. */
import type { CommandContext } from "../command-context.js";
import { followRun } from "../runs/follow.js";
import { Pool } from "../runs/pool.js";
import { runJson } from "../runs/run-json.js";
import { runSpecFrom, specForPool, type RunFlags } from "../runs/run-spec.js";

export interface RunSubmitFlags extends RunFlags {
  address: string;
  watch?: boolean;
}

export async function runSubmit(flags: RunSubmitFlags, context: CommandContext): Promise<void> {
  const { output, interrupts } = context;
  const spec = await specForPool(runSpecFrom(flags, new Date()), flags.address);
  using pool = new Pool(flags.address, (text) => output.note(text));
  const run = await pool.submit(spec, interrupts.signal);
  output.say(run.runId);
  if (flags.watch) await followRun(pool, run.runId, context);
  else output.document(runJson(run));
}
