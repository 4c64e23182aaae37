/** gradpool run logs: the log of a run. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import {
  contextFor,
  examples,
  JSON_LINES,
  jsonOption,
  onPool,
  type PoolFlags,
  type ProgramOptions,
} from "../command-options.js";
import { logJson, logText } from "../runs/event-text.js";
import { RUN_ARGUMENT, withRun } from "../runs/named-run.js";
import { Pool } from "../runs/pool.js";

type RunLogsFlags = PoolFlags & { follow?: boolean };

export function addRunLogs(run: Command, options: ProgramOptions): void {
  const command = run
    .command("logs")
    .description("print the log of a run")
    .argument(...RUN_ARGUMENT);
  onPool(command.option("--follow", "follow the log until the run has ended"), options, jsonOption(JSON_LINES))
    .addHelpText("after", examples("gradpool run logs RUN_ID", "gradpool run logs RUN_ID --follow"))
    .action((runId: string, flags: RunLogsFlags) => runLogs(runId, flags, contextFor(flags, options)));
}

async function runLogs(
  runId: string,
  flags: RunLogsFlags,
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const { signal } = interrupts;
  await withRun(pool, runId, signal, async (id) => {
    for await (const entry of pool.log(id, flags.follow === true, signal)) {
      output.document(logJson(entry));
      output.say(logText(entry));
    }
  });
}
