/** The curves of a chart, one of a run or those of several: what is drawn, and what is said of it. */
import { count } from "@gradpool/format";
import { decimate, type Point } from "./series.js";
import { movingAverage } from "./smoothing.js";

export interface Curve {
  name: string;
  /** Ascending, and of the same length as `ys`. */
  xs: Float64Array;
  ys: Float64Array;
  /** Place among the runs that are compared; undefined: it is the only one. */
  place?: number;
  /** Shown as dots, such as evaluations. */
  marks?: readonly Point[];
}

export interface DrawnCurve extends Curve {
  points: readonly Point[];
  /** The values as they are, where `points` are smoothed. */
  raw: readonly Point[];
  marks: readonly Point[];
}

/** `smoothing`: weight of movingAverage. `width`: of the chart, in px. */
export function drawn({ marks = [], ...curve }: Curve, smoothing: number, width: number): DrawnCurve {
  const { xs, ys } = curve;
  const buckets = Math.max(50, Math.floor(width));
  const smooth = smoothing > 0 ? movingAverage(ys, smoothing) : ys;
  return {
    ...curve,
    ys: smooth,
    points: decimate(xs, smooth, buckets),
    raw: smoothing > 0 ? decimate(xs, ys, buckets) : [],
    marks: marks.filter(({ y }) => Number.isFinite(y)),
  };
}

/** The value at the last step that is not after `x`; undefined: there is none, or the curve ends before it. */
export function valueAt({ xs, ys }: Pick<Curve, "xs" | "ys">, x: number): number | undefined {
  if (xs.length === 0 || x > xs[xs.length - 1]!) return undefined;
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? undefined : ys[low - 1];
}

/** "4.1 at step 1, 2.5 at step 60" of a single curve; of several, how many there are. */
export function summaryOf(curves: readonly DrawnCurve[], format: (y: number) => string): string {
  if (curves.length > 1) return `of ${curves.length} runs`;
  const points = curves[0]?.points ?? [];
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return "";
  if (first === last) return `${format(last.y)} at step ${count(last.x)}`;
  return `${format(first.y)} at step ${count(first.x)}, ${format(last.y)} at step ${count(last.x)}`;
}

/** Rows of the table: enough to follow the curves, few enough to listen to. */
const TABLE_ROWS = 20;

/** Steps for a table of the curves: of a single one its points, else spread over all. */
export function tableSteps(curves: readonly DrawnCurve[]): number[] {
  const steps = [...new Set(curves.flatMap(({ points }) => points.map(({ x }) => x)))].sort(
    (one, other) => one - other,
  );
  const every = Math.max(1, Math.ceil(steps.length / TABLE_ROWS));
  return steps.filter((_, i) => i % every === 0 || i === steps.length - 1);
}
