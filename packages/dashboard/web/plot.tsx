/** A chart's drawing. */
import { useState } from "preact/hooks";
import { lookOf, RUN_COLORS } from "@gradpool/plots";
import { count } from "@gradpool/format";
import { valueAt, type DrawnCurve } from "./curves.js";
import { ticks, type Point } from "./series.js";

const LEFT = 64;
const BOTTOM = 24;
const TOP = 8;
const RIGHT = 12;

interface PlotProps {
  label: string;
  curves: readonly DrawnCurve[];
  format: (y: number) => string;
  width: number;
  height: number;
  onHover?: ((step: number | undefined) => void) | undefined;
}

export function Plot({ label, curves, format, width, height, onHover }: PlotProps) {
  const [step, setStep] = useState<number>();
  const hover = (at: number | undefined) => {
    setStep(at);
    onHover?.(at);
  };
  const all = curves.flatMap(({ points, raw, marks }) => [...points, ...raw, ...marks]);
  const { x, y, xTicks, yTicks } = scales(all, width, height);
  const onMove = (event: PointerEvent) => {
    const at = event.clientX - (event.currentTarget as SVGElement).getBoundingClientRect().left;
    const points = curves.flatMap((curve) => curve.points);
    hover(nearest(points, (point) => Math.abs(x(point.x) - at))?.x);
  };
  const at = step === undefined ? undefined : x(step);
  return (
    <svg
      {...{ width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }}
      onPointerMove={onMove}
      onPointerLeave={() => hover(undefined)}
    >
      {yTicks.map((tick) => (
        <g key={tick}>
          <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
          <text class="tick" x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
            {format(tick)}
          </text>
        </g>
      ))}
      {xTicks.map((tick) => (
        <text class="tick" key={tick} x={x(tick)} y={height - 6} text-anchor="middle">
          {count(Math.round(tick))}
        </text>
      ))}
      {curves.map((curve) => (
        <Lines key={curve.name} {...{ curve, x, y }} />
      ))}
      {step !== undefined && at !== undefined && (
        <g>
          <line class="cursor" x1={at} x2={at} y1={TOP} y2={height - BOTTOM} />
          <text
            class="value"
            x={at > width / 2 ? at - 6 : at + 6}
            y={TOP + 12}
            text-anchor={at > width / 2 ? "end" : ""}
          >
            {cursorText(curves, step, format)}
          </text>
        </g>
      )}
    </svg>
  );
}

/** With the value of a single curve; those of several are in their table. */
function cursorText(curves: readonly DrawnCurve[], step: number, format: (y: number) => string): string {
  const value = curves.length === 1 && curves[0] ? valueAt(curves[0], step) : undefined;
  return `step ${count(step)}${value === undefined ? "" : `: ${format(value)}`}`;
}

type Scale = (value: number) => number;

/** A curve, with its values behind it where it is smoothed. */
function Lines({ curve, x, y }: { curve: DrawnCurve; x: Scale; y: Scale }) {
  const { points, raw, marks, place } = curve;
  const [only] = points.length === 1 ? points : [];
  return (
    <g class={lookClass(place)}>
      {raw.length > 0 && <path class="raw" d={pathOf(raw, x, y)} />}
      <path class="curve" d={pathOf(points, x, y)} stroke-dasharray={dashesOf(place)} />
      {only && <circle class="only" cx={x(only.x)} cy={y(only.y)} r={2.5} />}
      {marks.map((mark) => (
        <circle class="mark" key={mark.x} cx={x(mark.x)} cy={y(mark.y)} r={4} />
      ))}
    </g>
  );
}

/** How a run looks in the charts, in small. */
export function Swatch({ place }: { place: number }) {
  return (
    <svg class={`swatch ${lookClass(place)}`} width={28} height={10} viewBox="0 0 28 10" aria-hidden="true">
      <path class="curve" d="M1 5L27 5" stroke-dasharray={dashesOf(place)} />
    </svg>
  );
}

const DASHES = { solid: undefined, dashed: "7 4", dotted: "2 3" };

const dashesOf = (place: number | undefined) => (place === undefined ? undefined : DASHES[lookOf(place).lineType]);

/** The style sheet has the colours, since in the dark they are lighter. */
const lookClass = (place: number | undefined) => (place === undefined ? "" : `run-${place % RUN_COLORS.length}`);

const pathOf = (points: readonly Point[], x: Scale, y: Scale): string =>
  points.map((point, i) => `${i === 0 ? "M" : "L"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`).join("");

function scales(points: readonly Point[], width: number, height: number) {
  const bounds = (values: readonly number[]) => {
    const low = values.reduce((one, other) => Math.min(one, other), Infinity);
    const high = values.reduce((one, other) => Math.max(one, other), -Infinity);
    return { low, high, span: high > low ? high - low : 1 };
  };
  const xs = bounds(points.map((point) => point.x));
  const ys = bounds(points.map((point) => point.y));
  return {
    x: (value: number) => LEFT + ((value - xs.low) / xs.span) * (width - LEFT - RIGHT),
    y: (value: number) => height - BOTTOM - ((value - ys.low) / ys.span) * (height - BOTTOM - TOP),
    xTicks: ticks(xs.low, xs.high, Math.max(2, Math.floor(width / 120))).filter(Number.isInteger),
    yTicks: ticks(ys.low, ys.high, 6),
  };
}

const nearest = (points: readonly Point[], distance: (point: Point) => number): Point | undefined =>
  points.reduce<Point | undefined>(
    (best, point) => (best === undefined || distance(point) < distance(best) ? point : best),
    undefined,
  );
