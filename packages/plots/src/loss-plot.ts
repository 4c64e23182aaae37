/** A run's loss and learning rate as a picture: loss.svg and loss.png. */
import { createRequire } from "node:module";
import { Resvg } from "@resvg/resvg-js";
import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { init, use, type EChartsCoreOption } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { smoothed } from "./smoothing.js";

use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

export const PLOT_WIDTH = 1000;
export const PLOT_HEIGHT = 560;

/** What the picture shows of an optimizer step. */
export interface PlottedStep {
  /** From 1. */
  step: number;
  /** Mean negative log likelihood per target token, in nats. */
  loss: number;
  learningRate: number;
}

/** The loss on held-out data, behind so many steps. */
export type PlottedEvaluation = Pick<PlottedStep, "step" | "loss">;

export interface LossPlot {
  svg: string;
  png: Uint8Array;
}

const FONT_FILE = createRequire(import.meta.url).resolve("dejavu-fonts-ttf/ttf/DejaVuSans.ttf");
const FONT_FAMILY = "DejaVu Sans";

const INK = "#1f2933";
const QUIET_INK = "#52606d";
const RULE = "#e4e7eb";
const AXIS = "#9aa5b1";
const LOSS = "#2563eb";
const FAINT_LOSS = "#a9c4f5";
const LEARNING_RATE = "#d97706";
const EVALUATION = "#b91c1c";

/** Up to so many steps, each has a mark of its own. */
const MARKED_STEPS = 40;

/**
 * Draws the loss of each step, smoothed where there are enough of them, and of evaluations, above the learning rate.
 * The same steps, evaluations and title give the same bytes, on any machine: the font comes along, the system's are not used.
 */
export function renderLossPlot(
  steps: readonly PlottedStep[],
  title: string,
  evaluations: readonly PlottedEvaluation[] = [],
): LossPlot {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: PLOT_WIDTH, height: PLOT_HEIGHT });
  let svg: string;
  try {
    chart.setOption(lossPlotOption(steps, title, evaluations));
    svg = withOwnNumbering(chart.renderToSVGString());
  } finally {
    chart.dispose();
  }
  return { svg, png: rasterize(svg) };
}

/** ECharts numbers charts and style classes through the life of the process; here they begin anew. */
function withOwnNumbering(svg: string): string {
  const classes = new Map<string, string>();
  return svg.replaceAll(/\bzr\d+-([a-z]+-?)\d+/g, (id, kind: string) => {
    const known = classes.get(id) ?? `zr-${kind}${classes.size}`;
    classes.set(id, known);
    return known;
  });
}

/** The picture of an SVG text; without `fontFile` its text vanishes. */
export function rasterize(svg: string, fontFile: string | undefined = FONT_FILE): Uint8Array {
  const font = { loadSystemFonts: false, fontFiles: fontFile ? [fontFile] : [], defaultFontFamily: FONT_FAMILY };
  return new Resvg(svg, { font, background: "white" }).render().asPng();
}

function lossPlotOption(
  steps: readonly PlottedStep[],
  title: string,
  evaluations: readonly PlottedEvaluation[],
): EChartsCoreOption {
  const smooth = smoothed(steps.map(({ loss }) => loss));
  const lastStep = steps.at(-1)?.step ?? 1;
  const series = seriesOf(steps, smooth, evaluations);
  return {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: FONT_FAMILY, color: INK },
    title: {
      text: title,
      subtext: summary(steps, smooth),
      left: 24,
      top: 16,
      itemGap: 6,
      textStyle: {
        fontFamily: FONT_FAMILY,
        fontSize: 18,
        fontWeight: "normal",
        color: INK,
        width: 660,
        overflow: "truncate",
      },
      subtextStyle: { fontFamily: FONT_FAMILY, fontSize: 13, color: QUIET_INK },
    },
    legend: {
      data: series.map((one) => (one as { name: string }).name),
      right: 28,
      top: 18,
      icon: "roundRect",
      itemWidth: 22,
      itemHeight: 4,
      itemGap: 18,
      textStyle: { fontFamily: FONT_FAMILY, fontSize: 13, color: QUIET_INK },
    },
    grid: [
      { left: 84, right: 28, top: 80, height: 286 },
      { left: 84, right: 28, top: 398, height: 92 },
    ],
    xAxis: [stepAxis(0, lastStep, false), stepAxis(1, lastStep, true)],
    yAxis: [valueAxis(0, "loss (nats per token)", lossLabel, 5), valueAxis(1, "learning rate", rateLabel, 2)],
    series,
  };
}

function seriesOf(
  steps: readonly PlottedStep[],
  smooth: readonly number[] | undefined,
  evaluations: readonly PlottedEvaluation[],
): object[] {
  const losses = steps.map(({ loss }) => loss);
  const marks = steps.length <= MARKED_STEPS;
  const line = { type: "line", symbol: "circle", showSymbol: marks, symbolSize: 6, animation: false };
  const series: object[] = [
    {
      ...line,
      name: "loss",
      data: points(steps, losses),
      color: smooth ? FAINT_LOSS : LOSS,
      lineStyle: { width: smooth ? 1.25 : 2 },
    },
  ];
  if (smooth) {
    series.push({
      ...line,
      name: "smoothed",
      data: points(steps, smooth),
      color: LOSS,
      showSymbol: false,
      lineStyle: { width: 2.5 },
    });
  }
  if (evaluations.length > 0) {
    series.push({
      ...line,
      name: "evaluation",
      data: points(
        evaluations,
        evaluations.map(({ loss }) => loss),
      ),
      color: EVALUATION,
      showSymbol: true,
      symbol: "diamond",
      symbolSize: 9,
      lineStyle: { width: 1.5 },
    });
  }
  const rates = steps.map(({ learningRate }) => learningRate);
  series.push({
    ...line,
    name: "learning rate",
    data: points(steps, rates),
    xAxisIndex: 1,
    yAxisIndex: 1,
    color: LEARNING_RATE,
    symbolSize: 5,
    lineStyle: { width: 2 },
  });
  return series;
}

/** What is not finite leaves a gap. */
function points(steps: readonly { step: number }[], values: readonly number[]): [number, number | "-"][] {
  return steps.map(({ step }, i) => {
    const value = values[i] ?? NaN;
    return [step, Number.isFinite(value) ? value : "-"];
  });
}

function summary(steps: readonly PlottedStep[], smooth: readonly number[] | undefined): string {
  const first = steps[0];
  const last = steps.at(-1);
  if (!first || !last) return "no steps";
  if (steps.length === 1) return `1 step, loss ${first.loss.toFixed(4)}`;
  const end = `loss ${first.loss.toFixed(4)} at the first step, ${last.loss.toFixed(4)} at the last`;
  const level = smooth ? ` (smoothed ${smooth.at(-1)?.toFixed(4)})` : "";
  return `${steps.length.toLocaleString("en-US")} steps, ${end}${level}`;
}

const axisText = (fontSize: number) => ({ fontFamily: FONT_FAMILY, fontSize, color: QUIET_INK });

function stepAxis(gridIndex: number, lastStep: number, labelled: boolean): object {
  return {
    type: "value",
    gridIndex,
    min: 0,
    max: Math.max(2, lastStep),
    minInterval: 1,
    name: labelled ? "step" : "",
    nameLocation: "middle",
    nameGap: 32,
    nameTextStyle: axisText(14),
    axisLabel: {
      ...axisText(13),
      show: labelled,
      hideOverlap: true,
      formatter: (step: number) => step.toLocaleString("en-US"),
    },
    axisLine: { show: true, onZero: false, lineStyle: { color: AXIS } },
    axisTick: { show: labelled, lineStyle: { color: AXIS } },
    splitLine: { show: false },
  };
}

function valueAxis(gridIndex: number, name: string, formatter: (value: number) => string, splitNumber: number): object {
  return {
    type: "value",
    gridIndex,
    // The loss need not be seen against zero; a rate does.
    scale: gridIndex === 0,
    splitNumber,
    name,
    nameLocation: "middle",
    nameGap: 60,
    nameTextStyle: axisText(14),
    axisLabel: { ...axisText(13), formatter },
    axisLine: { show: false },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: RULE } },
  };
}

const lossLabel = (value: number) => String(Number(value.toPrecision(6)));

/** 0.0005 as 5e-4. */
const rateLabel = (value: number) => (value === 0 ? "0" : String(Number(value.toPrecision(3)).toExponential()));
