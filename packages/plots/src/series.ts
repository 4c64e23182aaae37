/** The lines of a panel. */
import type { RunLook } from "./look.js";
import type { Panel } from "./panels.js";
import type { PlottedRun } from "./plotted-run.js";
import { smoothed } from "./smoothing.js";

/** Up to this many steps, each has its own mark. */
const MARKED_STEPS = 40;

const EVALUATION = "#b91c1c";

/** A run's lines in the panel of that index: raw, smoothed, evaluations. With a `look` all bear the run's name. */
export function panelSeries(panel: Panel, index: number, run: PlottedRun, look?: RunLook): object[] {
  const { steps } = run;
  const values = steps.map(panel.valueOf);
  const smooth = panel.isSmoothed ? smoothed(values) : undefined;
  const line = lineOf(panel, index, steps.length);
  const named = (name: string) => (look ? run.name : name);
  const main = { color: look?.color ?? panel.color, lineStyle: { width: smooth ? 2.5 : 2, type: look?.lineType } };
  const raw = { ...line, name: named(panel.legend), data: points(steps, values) };
  const series: object[] = [];
  if (smooth) {
    const faint = look
      ? { ...raw, color: look.color, lineStyle: { width: 1, opacity: 0.3 } }
      : { ...raw, color: panel.faintColor, lineStyle: { width: 1.25 } };
    const above = { ...line, ...main, name: named("smoothed"), data: points(steps, smooth), showSymbol: false };
    // The legend takes the colour of the first of a name: with a look, the strong one; z says what is above.
    series.push(...(look ? [{ ...above, z: 3 }, faint] : [faint, above]));
  } else {
    series.push({ ...raw, ...main });
  }
  const evaluations = panel.evaluationsOf?.(run) ?? [];
  if (evaluations.length > 0) {
    const losses = evaluations.map(({ loss }) => loss);
    series.push({
      ...line,
      name: named("evaluation"),
      data: points(evaluations, losses),
      color: look?.color ?? EVALUATION,
      showSymbol: true,
      symbol: "diamond",
      symbolSize: 9,
      lineStyle: { width: 1.5 },
    });
  }
  return series;
}

const lineOf = (panel: Panel, index: number, steps: number) => ({
  type: "line",
  xAxisIndex: index,
  yAxisIndex: index,
  symbol: "circle",
  showSymbol: steps <= MARKED_STEPS,
  symbolSize: panel.isSmoothed ? 6 : 5,
  animation: false,
});

/** What is not finite leaves a gap. */
function points(steps: readonly { step: number }[], values: readonly number[]): [number, number | "-"][] {
  return steps.map(({ step }, i) => {
    const value = values[i] ?? NaN;
    return [step, Number.isFinite(value) ? value : "-"];
  });
}
