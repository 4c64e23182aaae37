/** gradpool run pause, resume and cancel. */
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { RUN_ARGUMENT, withRun } from "../runs/named-run.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";

type RunAction = "pause" | "resume" | "cancel";

const ACTIONS: Record<RunAction, string> = {
  pause: "pause a run; this frees its trainers at once",
  resume: "continue a paused run",
  cancel: "stop a run and keep what it saved",
};

export function addRunControls(run: Command, options: ProgramOptions): void {
  for (const [action, description] of Object.entries(ACTIONS) as [RunAction, string][]) {
    onPool(
      run
        .command(action)
        .description(description)
        .argument(...RUN_ARGUMENT),
      options,
    )
      .addHelpText("after", examples(`gradpool run ${action} RUN_ID`))
      .action((runId: string, flags: PoolFlags) => runControl(action, runId, flags, contextFor(flags, options)));
  }
}

async function runControl(
  action: RunAction,
  runId: string,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const { signal } = interrupts;
  const run = await withRun(pool, runId, signal, (id) => pool[action](id, signal));
  output.document(runJson(run));
  output.say(`run ${run.runId} is ${stateName(run.state)}`);
}
