/** gradpool run watch: follows a run from its first step on; can be stopped and started again at any time. */
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
import { followRun } from "../runs/follow.js";
import { RUN_ARGUMENT, withRun } from "../runs/named-run.js";
import { Pool } from "../runs/pool.js";

export function addRunWatch(run: Command, options: ProgramOptions): void {
  const command = run.command("watch").description("follow a run to its end; Ctrl-C leaves it running");
  onPool(command.argument(...RUN_ARGUMENT), options, jsonOption(JSON_LINES))
    .addHelpText("after", examples("gradpool run watch RUN_ID", "gradpool run watch RUN_ID --json"))
    .action((runId: string, flags: PoolFlags) => runWatch(runId, flags, contextFor(flags, options)));
}

async function runWatch(runId: string, flags: { address: string }, context: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, context.config.access, (text) => context.output.note(text));
  await withRun(pool, runId, context.interrupts.signal, (id) => followRun(pool, id, context));
}
