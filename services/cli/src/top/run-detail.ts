/** One run: its progress, curve, recipe in short, checkpoints and notes. */
import { count, counted, duration, localTime } from "@gradpool/format";
import type { Run } from "@gradpool/rpc";
import { stateName } from "../runs/run-json.js";
import { evaluationText, resumedText, stallText } from "../runs/run-text.js";
import { bar, curveLines, runStyle, titleOf, type Size } from "./overview.js";
import type { RunSeries } from "./run-series.js";
import { curve } from "./sparkline.js";
import { fit, span, type Line } from "./styled-text.js";

/** Least and most lines of the curve. */
const MIN_CURVE_ROWS = 4;
const MAX_CURVE_ROWS = 16;

const MAX_NOTES = 3;
const AXIS_WIDTH = 9;

/** At most `size.rows` lines. */
export function runDetail(run: Run, series: RunSeries | undefined, size: Size): Line[] {
  const facts = factLines(run, series);
  const notes = noteLines(run, series);
  const room = size.rows - facts.length - notes.length - 4;
  const rows = Math.min(MAX_CURVE_ROWS, Math.max(MIN_CURVE_ROWS, room));
  return [
    ...facts,
    [],
    ...lossCurve(series, size.columns, rows),
    ...curveLines(series, size.columns).slice(1),
    ...notes,
  ];
}

function factLines(run: Run, series: RunSeries | undefined): Line[] {
  const { state, step, totalSteps, submittedAt, tokens } = run;
  const spec = series?.spec ?? run.spec;
  const recipe = spec?.recipe;
  const stall = run.error ? run.error.message : stallText(run) || run.preparing;
  const share = totalSteps > 0 ? step / totalSteps : 0;
  const left = series?.secondsLeft(totalSteps);
  const last = series?.lastStep ?? run.lastStep;
  const fact = (name: string, value: string): Line => [span(fit(name, 10), "dim"), span(value)];
  const numbers = last
    ? ` · loss ${last.loss.toFixed(4)} · lr ${Number(last.learningRate.toPrecision(3)).toExponential()} · norm ${last.gradNorm.toPrecision(3)}`
    : "";
  return [
    [
      span(titleOf(run), "bold"),
      span(titleOf(run) === run.runId ? "" : `  ${run.runId}`, "dim"),
      span(`  ${stateName(state)}`, runStyle(state)),
      ...(stall ? [span(`  ${stall}`, run.error ? "bad" : "warning")] : []),
    ],
    [
      span(`${bar(share, 24)} `, "accent"),
      span(`${Math.floor(100 * share)} %  step ${count(step)} of ${count(totalSteps)}`),
      span(left === undefined || run.endedAt ? "" : `  ${duration(left)} left`),
    ],
    ...(spec?.tags.length ? [fact("tags", spec.tags.join(", "))] : []),
    fact("model", spec?.modelId ?? ""),
    fact("data", `${spec?.dataset.join(" ") ?? ""} (${counted(run.rows, "row")})`),
    fact("output", spec?.outputDir ?? ""),
    fact(
      "recipe",
      recipe
        ? `batch ${recipe.batchSize} × ${recipe.gradientAccumulation}, length ${recipe.maxLength}, r ${recipe.lora?.r}, ${counted(recipe.epochs, "epoch")}`
        : "",
    ),
    fact("so far", `${counted(tokens, "token")}${numbers}`),
    fact("submitted", submittedAt ? localTime(submittedAt) : "-"),
  ];
}

/** With the loss at its left, highest above. */
function lossCurve(series: RunSeries | undefined, columns: number, rows: number): Line[] {
  const values = series?.loss ?? [];
  if (values.length === 0) return [[span("no step yet", "dim")], ...Array.from({ length: rows - 1 }, () => [])];
  const high = Math.max(...values);
  const low = Math.min(...values);
  return curve(values, Math.max(8, columns - AXIS_WIDTH - 1), rows).map((line, i) => {
    const label = i === 0 ? high.toFixed(3) : i === rows - 1 ? low.toFixed(3) : i === rows >> 1 ? "loss" : "";
    return [span(`${fit(label, AXIS_WIDTH - 1, "right")} `, "dim"), span(line, "accent")];
  });
}

function noteLines(run: Run, series: RunSeries | undefined): Line[] {
  const evaluation = run.lastEvaluation;
  const checkpoint = series?.checkpoints.at(-1);
  const notes = [
    ...(evaluation ? [`step ${count(evaluation.step)}: ${evaluationText(evaluation)}`] : []),
    ...(checkpoint
      ? [`${counted(series?.checkpoints.length ?? 0, "checkpoint")}, the newest after step ${count(checkpoint.step)}`]
      : []),
    ...(run.resumedFrom ? [resumedText(run.resumedFrom, run.totalSteps)] : []),
    ...run.notes,
  ];
  return notes.slice(0, MAX_NOTES).map((text) => [span(text)]);
}
