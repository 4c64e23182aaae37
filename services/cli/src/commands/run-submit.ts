/** gradpool run submit: queues a run and returns at once, or follows it. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onPool, type OutputFlags, type ProgramOptions } from "../command-options.js";
import { addConfigFlag } from "../common-flags.js";
import { addRunFlags } from "../run-flags.js";
import { followRun } from "../runs/follow.js";
import { Pool } from "../runs/pool.js";
import { runJson } from "../runs/run-json.js";
import { runSpecFrom, specForPool, type RunFlags } from "../runs/run-spec.js";

const HELP = `
Examples:
  gradpool run submit --model_id models/tiny-coder --dataset src
  gradpool run submit --address 10.0.0.5:7070 --model_id /models/gpt2 --dataset /data/rows.jsonl --watch
${HELP_TAIL}`;

export function addRunSubmit(run: Command, options: ProgramOptions): void {
  const command = run.command("submit").description("queue a run and print its id");
  onPool(addConfigFlag(addRunFlags(command), options.config), options)
    .option("--watch", "follow the run to its end")
    .addHelpText("after", HELP)
    .action((flags: RunSubmitFlags & OutputFlags) => runSubmit(flags, contextFor(flags, options)));
}

interface RunSubmitFlags extends RunFlags {
  address: string;
  watch?: boolean;
}

async function runSubmit(flags: RunSubmitFlags, context: CommandContext): Promise<void> {
  const { output, config, interrupts } = context;
  const spec = await specForPool(runSpecFrom(flags, new Date()), flags.address);
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const run = await pool.submit(spec, interrupts.signal);
  output.say(run.runId);
  if (flags.watch) await followRun(pool, run.runId, context);
  else output.document(runJson(run));
}
