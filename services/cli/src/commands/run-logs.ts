/** gradpool run logs: what happened to a run, in words. */
import type { CommandContext } from "../command-context.js";
import { logJson, logText } from "../runs/event-text.js";
import { Pool } from "../runs/pool.js";

export async function runLogs(
  runId: string,
  flags: { address: string; follow?: boolean },
  { output, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, (text) => output.note(text));
  for await (const entry of pool.log(runId, flags.follow === true, interrupts.signal)) {
    output.document(logJson(entry));
    output.say(logText(entry));
  }
}
