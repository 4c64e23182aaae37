/** gradpool run list: the runs of a pool, newest first. */
import { localTime } from "@gradpool/format";
import { RunView, type Run, type RunState } from "@gradpool/rpc";
import { Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { atLeast, oneOf, tagsOption } from "../flags.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";
import { ENDED, UNFINISHED } from "../runs/run-state.js";
import { resumedText, stallText } from "../runs/run-text.js";
import { table } from "../terminal/format.js";

const DEFAULT_LIMIT = 100;

const STATES = [...UNFINISHED, ...ENDED];
export const STATE_NAMES = STATES.map(stateName);

interface Flags extends PoolFlags {
  limit: number;
  all?: boolean;
  name?: string;
  tag?: string[];
  state?: RunState[];
}

const EXAMPLES = [
  "gradpool run list",
  "gradpool run list --state running paused",
  "gradpool run list --name nightly --tag team-a --output yaml",
  "gradpool run list --all --profile team",
];

export function addRunList(run: Command, options: ProgramOptions): void {
  onPool(run.command("list").description("list runs, newest first"), options)
    .option("--name <text>", "only runs whose name contains this, in upper or lower case")
    .addOption(tagsOption("--tag <tags...>", "only runs with all of these tags"))
    .addOption(
      new Option("--state <states...>", `only runs in these states: ${STATE_NAMES.join(", ")}`).argParser(states),
    )
    .addOption(new Option("--limit <n>", "list at most this many").argParser(atLeast(1)).default(DEFAULT_LIMIT))
    .addOption(new Option("--all", "list all of them").conflicts("limit"))
    .addHelpText("after", examples(...EXAMPLES))
    .action((flags: Flags) => runList(flags, contextFor(flags, options)));
}

/** Words separated by commas. */
function states(text: string, previous: readonly RunState[] = []): RunState[] {
  const word = oneOf(STATE_NAMES);
  return [...previous, ...text.split(",").map((name) => STATES[STATE_NAMES.indexOf(word(name.trim()))]!)];
}

async function runList(flags: Flags, { output, config, interrupts }: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const limit = flags.all ? Infinity : flags.limit;
  // Documents hold all of a run, recipe included.
  const view = output.isForPeople ? RunView.RUN_VIEW_BASIC : RunView.RUN_VIEW_FULL;
  const { name: runName = "", tag: tags = [], state = [] } = flags;
  const { runs, hasMore } = await pool.list({ limit, view, states: state, runName, tags }, interrupts.signal);
  output.document(runs.map(runJson));
  if (hasMore) output.note(`the newest ${runs.length} runs; --all lists older ones, too`);
  if (runs.length === 0) {
    const isFiltered = runName !== "" || tags.length + state.length > 0;
    output.say(isFiltered ? "no such runs" : "no runs yet; submit one with gradpool run submit");
    return;
  }
  const columns = COLUMNS.filter(({ isOptional, of }) => !isOptional || runs.some((run) => of(run) !== ""));
  const rows = runs.map((run) => columns.map(({ of }) => of(run)));
  output.say(
    table(
      columns.map(({ head }) => head),
      rows,
    ),
  );
}

interface Column {
  head: string;
  of: (run: Run) => string;
  /** Left out where all its cells are empty. */
  isOptional?: boolean;
}

const COLUMNS: readonly Column[] = [
  { head: "run", of: ({ runId }) => runId },
  { head: "name", of: ({ spec }) => spec?.runName ?? "", isOptional: true },
  { head: "state", of: ({ state }) => stateName(state) },
  { head: "step", of: ({ step, totalSteps }) => (totalSteps > 0 ? `${step}/${totalSteps}` : "-") },
  { head: "loss", of: ({ lastStep }) => lastStep?.loss.toFixed(4) ?? "-" },
  { head: "submitted", of: ({ submittedAt }) => (submittedAt ? localTime(submittedAt) : "-") },
  { head: "model", of: ({ spec }) => spec?.modelId ?? "" },
  { head: "output folder", of: ({ spec }) => spec?.outputDir ?? "" },
  { head: "tags", of: ({ spec }) => spec?.tags.join(", ") ?? "", isOptional: true },
  { head: "remark", of: remark },
];

/** Why it makes no steps, or what else the user should know. */
function remark(run: Run): string {
  const resumed = run.resumedFrom && resumedText(run.resumedFrom, run.totalSteps);
  return [stallText(run), resumed, ...run.notes].filter(Boolean).join("; ");
}
