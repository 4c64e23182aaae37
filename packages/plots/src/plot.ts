/** Runs as pictures: the loss above the learning rate, the learning rate alone, the throughput. */
import type { EChartsCoreOption } from "echarts/core";
import { lookOf } from "./look.js";
import type { PlotName } from "./names.js";
import { LEARNING_RATE, LOSS, THROUGHPUT, type Panel } from "./panels.js";
import type { PlottedRun, PlottedStep } from "./plotted-run.js";
import { renderSvg } from "./render.js";
import { panelSeries } from "./series.js";
import { FONT_FAMILY, INK, PLOT_HEIGHT, PLOT_WIDTH, QUIET_INK, stepAxis, valueAxis } from "./style.js";
import { lossSummary, rateSummary, speedSummary } from "./summary.js";

interface PlotKind {
  panels: readonly [Panel] | readonly [Panel, Panel];
  summary: (panel: Panel, steps: readonly PlottedStep[]) => string;
}

const KINDS: Record<PlotName, PlotKind> = {
  loss: { panels: [LOSS, LEARNING_RATE], summary: lossSummary },
  "learning-rate": { panels: [LEARNING_RATE], summary: rateSummary },
  throughput: { panels: [THROUGHPUT], summary: speedSummary },
};

/** Top and height of a picture's panels, in px, by how many there are. */
const LAYOUTS = { 1: [[80, 410]], 2: [[80, 286] as const, [398, 92] as const] } as const;

const LEFT_PX = 24;
const RIGHT_PX = 28;

/**
 * The SVG text of a plot of one run or several, at most MAX_PLOTTED_RUNS. The same runs and title give the same bytes, on any
 * machine: the font is included.
 */
export function plotSvg(name: PlotName, title: string, runs: readonly PlottedRun[]): string {
  const { panels } = KINDS[name];
  const isComparison = runs.length > 1;
  const rows = isComparison ? Math.ceil(runs.length / LEGEND_COLUMNS) : 0;
  // The first row of a legend of runs is where a single run has its summary.
  const shift = Math.max(0, rows - 1) * LEGEND_ROW_PX;
  const layout = LAYOUTS[panels.length];
  const lastStep = runs.reduce((last, { steps }) => Math.max(last, steps.at(-1)?.step ?? 1), 1);
  const series = panels.flatMap((panel, index) =>
    runs.flatMap((run, i) => panelSeries(panel, index, run, isComparison ? lookOf(i) : undefined)),
  );
  const option: EChartsCoreOption = {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: FONT_FAMILY, color: INK },
    title: titleOf(title, isComparison ? "" : summaryOf(name, runs[0]?.steps ?? []), isComparison),
    legend: isComparison ? runsLegend(runs) : linesLegend(series),
    grid: layout.map(([top, height]) => ({ left: 84, right: RIGHT_PX, top: top + shift, height })),
    xAxis: panels.map((_, index) => stepAxis(index, lastStep, index === panels.length - 1)),
    yAxis: panels.map((panel, index) => valueAxis(index, panel, index === 0 ? 5 : 2)),
    series,
  };
  return renderSvg(option, PLOT_HEIGHT + shift);
}

function summaryOf(name: PlotName, steps: readonly PlottedStep[]): string {
  const { panels, summary } = KINDS[name];
  return summary(panels[0], steps);
}

function titleOf(text: string, subtext: string, isWide: boolean): object {
  const style = { fontFamily: FONT_FAMILY, fontSize: 18, fontWeight: "normal", color: INK };
  return {
    text,
    subtext,
    left: LEFT_PX,
    top: 16,
    itemGap: 6,
    textStyle: { ...style, width: isWide ? PLOT_WIDTH - LEFT_PX - RIGHT_PX : 660, overflow: "truncate" },
    subtextStyle: { fontFamily: FONT_FAMILY, fontSize: 13, color: QUIET_INK },
  };
}

const LEGEND_ITEM = { icon: "roundRect", itemWidth: 22, itemHeight: 4 };
const legendText = { fontFamily: FONT_FAMILY, fontSize: 13, color: QUIET_INK };

/** A single run's: its lines. */
function linesLegend(series: readonly object[]): object {
  const names = series.map((one) => (one as { name: string }).name);
  return { ...LEGEND_ITEM, data: names, right: RIGHT_PX, top: 18, itemGap: 18, textStyle: legendText };
}

const LEGEND_COLUMNS = 4;
const LEGEND_ROW_PX = 22;

/**
 * Of several runs, in columns below the title. Each is a legend of its own, at its place: without a screen, ECharts assumes text
 * to be narrower than it is.
 */
function runsLegend(runs: readonly PlottedRun[]): object[] {
  return runs.map(({ name }, i) => ({
    ...LEGEND_ITEM,
    data: [name],
    left: LEFT_PX + ((PLOT_WIDTH - LEFT_PX) / LEGEND_COLUMNS) * (i % LEGEND_COLUMNS),
    top: 46 + LEGEND_ROW_PX * Math.floor(i / LEGEND_COLUMNS),
    formatter: shortened,
    textStyle: legendText,
  }));
}

/** As wide as a column of the legend. */
const LONGEST_NAME = 24;

/** Names of runs that are much alike differ at their ends. */
const shortened = (name: string) =>
  name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME / 2 - 1)}…${name.slice(-LONGEST_NAME / 2)}` : name;
