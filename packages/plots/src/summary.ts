/** The line under a single run's title. */
import { count, counted } from "@gradpool/format";
import type { Panel } from "./panels.js";
import type { PlottedStep } from "./plotted-run.js";
import { smoothed } from "./smoothing.js";

/** "60 steps, loss 4.1000 at the first step, 2.5000 at the last (smoothed 2.5100)". */
export function lossSummary(panel: Panel, steps: readonly PlottedStep[]): string {
  const ends = endsOf(steps);
  if (!ends) return "no steps";
  const [first, last] = ends.map(panel.valueOf) as [number, number];
  if (steps.length === 1) return `1 step, loss ${first.toFixed(4)}`;
  const level = smoothed(steps.map(panel.valueOf))?.at(-1);
  const text = level === undefined ? "" : ` (smoothed ${level.toFixed(4)})`;
  return `${counted(steps.length, "step")}, loss ${first.toFixed(4)} at the first step, ${last.toFixed(4)} at the last${text}`;
}

/** "60 steps, learning rate 5e-4 at its highest, 0 at the last step". */
export function rateSummary(panel: Panel, steps: readonly PlottedStep[]): string {
  const ends = endsOf(steps);
  if (!ends) return "no steps";
  const peak = steps.reduce((highest, step) => Math.max(highest, panel.valueOf(step)), 0);
  return `${counted(steps.length, "step")}, learning rate ${panel.label(peak)} at its highest, ${panel.label(panel.valueOf(ends[1]))} at the last step`;
}

/** "60 steps, 12,000 target tokens, 1,200 per second". */
export function speedSummary(_panel: Panel, steps: readonly PlottedStep[]): string {
  if (steps.length === 0) return "no steps";
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const speed = seconds > 0 ? `, ${count(Math.round(tokens / seconds))} per second` : "";
  return `${counted(steps.length, "step")}, ${count(tokens)} target tokens${speed}`;
}

function endsOf(steps: readonly PlottedStep[]): [first: PlottedStep, last: PlottedStep] | undefined {
  const [first, last] = [steps[0], steps.at(-1)];
  return first && last && [first, last];
}
