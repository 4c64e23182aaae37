/** gradpool run diff: how two runs differ, and where their losses diverge. */
import { count, counted } from "@gradpool/format";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { readHistories } from "../runs/histories.js";
import { diffRuns, type LossDiff, type RunDiff, type ValueDiff } from "../runs/run-diff.js";
import { namesOf, type RunHistory } from "../runs/run-history.js";
import { snakeKeys } from "../runs/run-json.js";
import { table } from "../terminal/format.js";

const HELP = `
A and B are runs' ids or names, or output folders; folders need no pool. Losses are compared bit for bit.

Examples:
  gradpool run diff RUN_ID OTHER_RUN_ID
  gradpool run diff outputs/monday outputs/tuesday --output yaml
${HELP_TAIL}`;

export function addRunDiff(run: Command, options: ProgramOptions): void {
  const command = run
    .command("diff")
    .description("compare two runs: recipe, data, base, and the step where they diverge");
  onPool(command.argument("<a>").argument("<b>"), options)
    .addHelpText("after", HELP)
    .action((a: string, b: string, flags: PoolFlags) => runDiff([a, b], flags, contextFor(flags, options)));
}

async function runDiff(
  runs: readonly [a: string, b: string],
  flags: { address: string },
  context: CommandContext,
): Promise<void> {
  const [a, b] = (await readHistories(runs, flags.address, context)) as [RunHistory, RunHistory];
  const diff = diffRuns(a, b);
  const { output } = context;
  const named = ({ name, runId, steps }: RunHistory) => ({ name, run_id: runId, steps: steps.length });
  output.document({ a: named(a), b: named(b), ...(snakeKeys(diff) as object) });
  for (const paragraph of paragraphs(a, b, diff)) output.say(paragraph);
}

function paragraphs(a: RunHistory, b: RunHistory, diff: RunDiff): string[] {
  const rows = [...diff.settings, ...(diff.receipt ?? [])];
  return [
    ...(rows.length > 0 ? [valueTable(a, b, rows)] : ["same base, data and recipe"]),
    ...(diff.receipt ? [] : ["hashes of base and data: not compared; both runs need a checkpoint on this machine"]),
    `loss: ${lossText(diff.losses, "step")}`,
    ...(diff.evaluations.last.a || diff.evaluations.last.b
      ? [`evaluations: ${lossText(diff.evaluations, "evaluation")}`]
      : []),
  ];
}

function valueTable(a: RunHistory, b: RunHistory, rows: readonly ValueDiff[]): string {
  return table(
    ["", ...namesOf([a, b])],
    rows.map((row) => [row.name, shown(row.a), shown(row.b)]),
  );
}

/** Enough of a hash to tell two apart. */
const LONGEST_VALUE = 44;

function shown(value: unknown): string {
  if (value === undefined) return "-";
  const text = typeof value === "string" && value !== "" ? value : JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 1)}…` : text;
}

function lossText({ common, firstDifference, largestDifference, last }: LossDiff, noun: string): string {
  const ends = `the last is ${lastText(last.a)} and ${lastText(last.b)}`;
  if (common === 0) return `no ${noun} in common; ${ends}`;
  const both = `${counted(common, noun)} in common`;
  if (!firstDifference || !largestDifference) return `${both}, all with the same bits; ${ends}`;
  const first = `from step ${count(firstDifference.step)} on (${firstDifference.a} and ${firstDifference.b})`;
  const far = Math.abs(largestDifference.a - largestDifference.b);
  const most = `most at step ${count(largestDifference.step)}, by ${far.toPrecision(3)}`;
  return `${both}, different ${first}, ${most}; ${ends}`;
}

const lastText = (last: LossDiff["last"]["a"]) =>
  last ? `${last.loss.toFixed(4)} at step ${count(last.step)}` : "none";
