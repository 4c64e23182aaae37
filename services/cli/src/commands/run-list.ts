/** gradpool run list: all runs of a pool, newest first. */
import { localTime } from "@gradpool/format";
import type { Run } from "@gradpool/rpc";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";
import { resumedText, stallText } from "../runs/run-text.js";
import { table } from "../terminal/format.js";

export function addRunList(run: Command, options: ProgramOptions): void {
  onPool(run.command("list").description("list all runs, newest first"), options)
    .addHelpText("after", examples("gradpool run list", "gradpool run list --output yaml --profile team"))
    .action((flags: PoolFlags) => runList(flags, contextFor(flags, options)));
}

async function runList(flags: { address: string }, { output, config, interrupts }: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, config.keys, (text) => output.note(text));
  const runs = await pool.list(interrupts.signal);
  output.document(runs.map(runJson));
  if (runs.length === 0) {
    output.say("no runs yet; submit one with gradpool run submit");
    return;
  }
  const rows = runs.map((run) => [
    run.runId,
    stateName(run.state),
    run.totalSteps > 0 ? `${run.step}/${run.totalSteps}` : "-",
    run.lastStep ? run.lastStep.loss.toFixed(4) : "-",
    run.submittedAt ? localTime(run.submittedAt) : "-",
    run.spec?.modelId ?? "",
    run.spec?.outputDir ?? "",
    remark(run),
  ]);
  output.say(table(["run", "state", "step", "loss", "submitted", "model", "output folder", "remark"], rows));
}

/** Why it makes no steps, or what else the user should know. */
function remark(run: Run): string {
  const resumed = run.resumedFrom && resumedText(run.resumedFrom, run.totalSteps);
  return [stallText(run), resumed, ...run.notes].filter(Boolean).join("; ");
}
