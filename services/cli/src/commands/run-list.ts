/** gradpool run list: the runs of a pool, newest first. */
import { localTime } from "@gradpool/format";
import { RunView, type Run } from "@gradpool/rpc";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { atLeast } from "../flags.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";
import { resumedText, stallText } from "../runs/run-text.js";
import { table } from "../terminal/format.js";

const DEFAULT_LIMIT = 100;

interface Flags extends PoolFlags {
  limit: number;
  all?: boolean;
}

export function addRunList(run: Command, options: ProgramOptions): void {
  onPool(run.command("list").description("list runs, newest first"), options)
    .addOption(new Option("--limit <n>", "list at most this many").argParser(atLeast(1)).default(DEFAULT_LIMIT))
    .addOption(new Option("--all", "list all of them").conflicts("limit"))
    .addHelpText("after", examples("gradpool run list", "gradpool run list --all --output yaml --profile team"))
    .action((flags: Flags) => runList(flags, contextFor(flags, options)));
}

async function runList(flags: Flags, { output, config, interrupts }: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const limit = flags.all ? Infinity : flags.limit;
  // Documents hold all of a run, recipe included.
  const view = output.isForPeople ? RunView.RUN_VIEW_BASIC : RunView.RUN_VIEW_FULL;
  const { runs, hasMore } = await pool.list({ limit, view }, interrupts.signal);
  output.document(runs.map(runJson));
  if (hasMore) output.note(`the newest ${runs.length} runs; --all lists older ones, too`);
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
