/** The pool at a glance: services, trainers, runs, and the curves of the selected run. */
import { bytes, count, counted, duration } from "@gradpool/format";
import { RunState, TrainerState, type Run, type Trainer } from "@gradpool/rpc";
import { trainerStateName, stateName } from "../runs/run-json.js";
import { stallText } from "../runs/run-text.js";
import type { RunSeries } from "./run-series.js";
import { sparkline } from "./sparkline.js";
import { fit, span, widthOf, type Line, type Span, type Style } from "./styled-text.js";
import { selectedRun, selectedTrainer, trainersOf, type TopState } from "./top-state.js";

export interface Size {
  columns: number;
  rows: number;
}

export type SeriesOf = (runId: string) => RunSeries | undefined;

/** From this width on each run has its curve beside it. */
const WIDE_COLUMNS = 110;
const SPARK_WIDTH = 24;

/** A run's name or id takes what the rest of its line leaves, within bounds. */
const MIN_NAME_WIDTH = 19;
const MAX_NAME_WIDTH = 40;
const OTHER_WIDTH = 59;

/** The selected run's lines: a title, two curves. */
const PANEL_ROWS = 4;

/** At most `size.rows` lines; an infinite number of rows shows everything. */
export function overview(state: TopState, seriesOf: SeriesOf, size: Size): Line[] {
  const services = serviceLines(state);
  const trainers = trainersOf(state);
  const left = size.rows - services.length - PANEL_ROWS - 4;
  const trainerRows = Math.max(1, Math.min(trainers.length, Math.max(2, Math.floor(left / 3))));
  const runRows = Math.max(1, left - trainerRows);
  const isIn = (list: TopState["list"]): Style => (state.list === list ? "accent" : "bold");
  return [
    ...services,
    [span("TRAINERS", isIn("trainers")), span(scrollNote(trainers.length, trainerRows), "dim")],
    ...trainerLines(state, trainerRows, size.columns),
    [],
    [span("RUNS", isIn("runs")), span(scrollNote(state.runs.length, runRows), "dim")],
    ...runLines(state, seriesOf, runRows, size.columns),
    ...panel(selectedRun(state), seriesOf, size.columns),
  ];
}

function serviceLines({ pool }: TopState): Line[] {
  if (!pool) return [];
  const { services, trainers, activeRuns, pausedRuns } = pool;
  const good = services.filter(({ serving }) => serving).length;
  const summary: Line = [
    span(`${good} of ${counted(services.length, "service")} serving`, good === services.length ? "good" : "bad"),
    span(` · ${counted(trainers.length, "trainer")} · ${counted(activeRuns, "active run")}, ${pausedRuns} paused`),
  ];
  const troubles = services
    .filter(({ serving }) => !serving)
    .map(({ name, problem }) => [span(`${name} is not serving: ${problem || "no reason given"}`, "bad")]);
  return [summary, ...troubles, []];
}

const scrollNote = (all: number, shown: number) => (all > shown ? `  ${shown} of ${all}` : "");

/** The part of a list with the selected item in it. */
function inView<T>(list: readonly T[], selected: T | undefined, rows: number): readonly T[] {
  if (list.length <= rows) return list;
  const at = selected ? list.indexOf(selected) : 0;
  const start = Math.min(Math.max(0, at - Math.floor(rows / 2)), list.length - rows);
  return list.slice(start, start + rows);
}

/** A bar of `width` cells. */
export function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

const marker = (isSelected: boolean): Span => span(isSelected ? "▸ " : "  ", "accent");

const TRAINER_STYLES: Partial<Record<TrainerState, Style>> = {
  [TrainerState.TRAINER_STATE_DRAINING]: "warning",
  [TrainerState.TRAINER_STATE_QUARANTINED]: "bad",
};

function trainerLines(state: TopState, rows: number, columns: number): Line[] {
  const trainers = trainersOf(state);
  if (trainers.length === 0) return [[span("  none connected; runs wait for one", "dim")]];
  const selected = selectedTrainer(state);
  const nameWidth = Math.min(columns >= WIDE_COLUMNS ? 32 : 16, Math.max(...trainers.map((t) => t.trainerId.length)));
  const deviceWidth = Math.min(12, Math.max(...trainers.map(({ device }) => device.length)));
  return inView(trainers, selected, rows).map((trainer) =>
    trainerLine(trainer, trainer === selected, [nameWidth, deviceWidth], state),
  );
}

function trainerLine(
  trainer: Trainer,
  isSelected: boolean,
  [nameWidth, deviceWidth]: readonly [number, number],
  { list, runs }: TopState,
): Line {
  const { trainerId, device, deviceUse, tokensPerSecond, residentBytes, runId, state, stateReason } = trainer;
  const run = runs.find((one) => one.runId === runId);
  const what = [trainerStateName(state), stateReason].filter(Boolean).join(": ");
  return [
    marker(isSelected && list === "trainers"),
    span(`${fit(trainerId, nameWidth)} ${fit(device, deviceWidth)} `),
    span(bar(deviceUse, 10), deviceUse > 0.5 ? "good" : "warning"),
    span(`${fit(`${Math.round(100 * deviceUse)} %`, 6, "right")} `),
    span(`${fit(count(Math.round(tokensPerSecond)), 8, "right")} tok/s ${fit(bytes(residentBytes), 8, "right")}  `),
    span((run ? titleOf(run) : runId) || what, runId ? "plain" : (TRAINER_STYLES[state] ?? "dim")),
    span(runId && what !== "active" ? `  ${what}` : "", TRAINER_STYLES[state] ?? "dim"),
  ];
}

const RUN_STYLES: Partial<Record<RunState, Style>> = {
  [RunState.RUN_STATE_RUNNING]: "good",
  [RunState.RUN_STATE_PAUSED]: "warning",
  [RunState.RUN_STATE_FAILED]: "bad",
  [RunState.RUN_STATE_COMPLETED]: "accent",
};

export const runStyle = (state: RunState): Style => RUN_STYLES[state] ?? "dim";

function runLines(state: TopState, seriesOf: SeriesOf, rows: number, columns: number): Line[] {
  if (state.runs.length === 0) return [[span("  none yet; submit one with gradpool run submit", "dim")]];
  const selected = selectedRun(state);
  const isWide = columns >= WIDE_COLUMNS;
  const room = columns - OTHER_WIDTH - (isWide ? SPARK_WIDTH + 2 : 0);
  const longest = Math.max(...state.runs.map((run) => widthOf(titleOf(run))));
  const nameWidth = Math.max(MIN_NAME_WIDTH, Math.min(MAX_NAME_WIDTH, room, longest));
  return inView(state.runs, selected, rows).map((run) => [
    marker(run === selected && state.list === "runs"),
    span(`${fit(titleOf(run), nameWidth)} `),
    ...runSpans(run, seriesOf(run.runId), isWide),
  ]);
}

/** What a run is called: by its name, else by its id. */
export const titleOf = ({ runId, spec }: Run): string => spec?.runName || runId;

/** State, progress and speed in 56 cells, and the curve where there is room. */
function runSpans(run: Run, series: RunSeries | undefined, isWide: boolean): Span[] {
  const isRunning = run.state === RunState.RUN_STATE_RUNNING;
  const share = run.totalSteps > 0 ? run.step / run.totalSteps : 0;
  const left = isRunning ? series?.secondsLeft(run.totalSteps) : undefined;
  const loss = series?.lastStep?.loss ?? run.lastStep?.loss;
  const curve = isWide ? `  ${sparkline(series?.loss ?? [], SPARK_WIDTH)}` : "";
  return [
    span(`${fit(stateName(run.state), 9)} `, runStyle(run.state)),
    span(bar(share, 8), "accent"),
    span(fit(`${Math.floor(100 * share)} %`, 6, "right")),
    span(fit(loss === undefined ? "-" : loss.toFixed(4), 8, "right")),
    span(`${fit(isRunning && series ? count(Math.round(series.speed)) : "-", 7, "right")} tok/s`),
    span(fit(left === undefined ? "-" : duration(left), 9, "right")),
    span(curve, "accent"),
  ];
}

/** Loss and speed of one run over its whole length, and why it makes no steps. */
function panel(run: Run | undefined, seriesOf: SeriesOf, columns: number): Line[] {
  if (!run) return [];
  const series = seriesOf(run.runId);
  const stall = run.error ? run.error.message : stallText(run) || run.preparing;
  const steps = run.totalSteps > 0 ? `step ${count(run.step)} of ${count(run.totalSteps)}` : "";
  const isNamed = titleOf(run) !== run.runId;
  const title: Line = [
    span(titleOf(run), "bold"),
    span(` ${[isNamed && run.runId, steps, run.spec?.modelId].filter(Boolean).join(" · ")}`),
    ...(stall ? [span(` · ${stall}`, run.error ? "bad" : "warning")] : []),
  ];
  return [[], title, ...curveLines(series, columns)];
}

export function curveLines(series: RunSeries | undefined, columns: number): Line[] {
  const width = Math.max(8, columns - 36);
  const line = (name: string, values: readonly number[], unit: (value: number) => string): Line => [
    span(fit(name, 10), "dim"),
    span(fit(sparkline(values, width), Math.min(width, Math.max(values.length, 1))), "accent"),
    span(values.length === 0 ? "no step yet" : ` ${unit(Math.min(...values))} to ${unit(Math.max(...values))}`, "dim"),
  ];
  return [
    line("loss", series?.loss ?? [], (value) => value.toFixed(3)),
    line("tokens/s", series?.tokensPerSecond ?? [], (value) => count(Math.round(value))),
  ];
}
