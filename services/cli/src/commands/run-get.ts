/** gradpool run get: show everything about a run. */
import { count, localTime, rowsText } from "@gradpool/format";
import { recipeValues } from "@gradpool/recipe";
import type { Recipe, Run, RunSpec } from "@gradpool/rpc";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, examples, onPool, type PoolFlags, type ProgramOptions } from "../command-options.js";
import { valueText } from "../flags.js";
import { RUN_ARGUMENT, withRun } from "../runs/named-run.js";
import { Pool } from "../runs/pool.js";
import { runJson, stateName } from "../runs/run-json.js";
import { evaluationText, reportText, resumedText, rowCountLines } from "../runs/run-text.js";
import { facts, trainableParameters } from "../terminal/format.js";

export function addRunGet(run: Command, options: ProgramOptions): void {
  onPool(
    run
      .command("get")
      .description("show everything about a run")
      .argument(...RUN_ARGUMENT),
    options,
  )
    .addHelpText("after", examples("gradpool run get RUN_ID", "gradpool run get RUN_ID --json"))
    .action((runId: string, flags: PoolFlags) => runGet(runId, flags, contextFor(flags, options)));
}

async function runGet(
  runId: string,
  flags: { address: string },
  { output, config, interrupts }: CommandContext,
): Promise<void> {
  using pool = new Pool(flags.address, config.access, (text) => output.note(text));
  const { signal } = interrupts;
  const run = await withRun(pool, runId, signal, (id) => pool.get(id, signal));
  output.document(runJson(run));
  output.say(facts(factsOf(run)));
  if (run.allParameters > 0) output.say(trainableParameters(run.trainableParameters, run.allParameters));
}

function factsOf(run: Run): [string, string][] {
  const { spec, error, lastStep, resumedFrom } = run;
  const entries: [string, string | undefined][] = [
    ["run", run.runId],
    ["name", spec?.runName || undefined],
    ["tags", spec?.tags.join(", ") || undefined],
    ["state", run.preparing ? `${stateName(run.state)}: ${run.preparing}` : stateName(run.state)],
    ["paused because", run.pausedBecause || undefined],
    ["waiting for", run.waitingFor || undefined],
    ["error", error?.message],
    ...run.notes.map((note): [string, string] => ["note", note]),
    ...run.reports.map((report): [string, string] => ["reported to", reportText(report)]),
    ["model", spec?.modelId],
    ["data set", spec?.dataset.join(" ")],
    ["held out", spec && heldOutText(spec)],
    ["output folder", spec?.outputDir],
    ["start", resumedFrom && resumedText(resumedFrom, run.totalSteps)],
    ["step", run.totalSteps > 0 ? `${count(run.step)} of ${count(run.totalSteps)}` : undefined],
    ["loss", lastStep?.loss.toFixed(4)],
    ["last", run.lastEvaluation && `${evaluationText(run.lastEvaluation)}, step ${count(run.lastEvaluation.step)}`],
    ["best", run.bestEvaluation && `${evaluationText(run.bestEvaluation)}, step ${count(run.bestEvaluation.step)}`],
    ["stopped early", run.stoppedEarly ? `${run.step} of ${run.totalSteps} steps` : undefined],
    ["tokens", run.tokens > 0 ? count(run.tokens) : undefined],
    ...rowEntries(run),
    ["submitted", run.submittedAt && localTime(run.submittedAt)],
    ["started", run.startedAt && localTime(run.startedAt)],
    ["ended", run.endedAt && localTime(run.endedAt)],
    ["recipe", spec?.recipe && recipeText(spec.recipe)],
  ];
  return entries.filter((entry): entry is [string, string] => entry[1] !== undefined);
}

function heldOutText({ evalDataset, recipe }: RunSpec): string | undefined {
  const { evalFraction = 0, evalSplit = "" } = recipe ?? {};
  if (evalFraction > 0) return `${evalFraction} of the rows`;
  const sources = evalDataset.join(" ");
  const split = evalSplit && `split ${evalSplit}${sources && " of "}`;
  return `${split}${sources}` || undefined;
}

/** The rows that its steps were made from, and what there is to say of them. */
function rowEntries(run: Run): [string, string][] {
  const { rowCounts, spec } = run;
  if (!rowCounts || rowCounts.rows === 0 || !spec?.recipe) return [];
  const trained = `trained on ${rowsText(rowCounts.rows, spec.recipe)}, counted in every epoch`;
  return [trained, ...rowCountLines(run)].map((line) => ["rows", line]);
}

/** What has a value, as flags are written. */
function recipeText(recipe: Recipe): string {
  return Object.entries(recipeValues(recipe))
    .map(([name, value]) => [name, valueText(value)])
    .filter(([, value]) => value !== "")
    .map((pair) => pair.join(" "))
    .join(", ");
}
