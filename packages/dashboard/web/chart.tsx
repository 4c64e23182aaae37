/** A curve over steps, as SVG, and as a table for those who cannot see it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "@gradpool/format";
import { decimate, ticks, type Point } from "./series.js";

export interface ChartProps {
  title: string;
  /** Of equal length. */
  xs: Float64Array;
  ys: Float64Array;
  format: (y: number) => string;
  /** Shown as dots, such as evaluations. */
  marks?: { name: string; points: readonly Point[] };
  height?: number;
}

const LEFT = 64;
const BOTTOM = 24;
const TOP = 8;
const RIGHT = 12;

/** Rows of the table: enough to follow the curve, few enough to listen to. */
const TABLE_ROWS = 20;

export function Chart({ title, xs, ys, format, marks, height = 200 }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const points = decimate(xs, ys, Math.max(50, Math.floor(width)));
  const summary = summaryOf(points, format);
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong> <span class="quiet">{summary}</span>
        {marks && marks.points.length > 0 && <span class="mark-note">● {marks.name}</span>}
      </figcaption>
      <div ref={frame}>
        {points.length === 0 ? (
          <p class="empty">no steps yet</p>
        ) : (
          <Plot {...{ title, points, format, width, height, summary, marks: marks?.points ?? [] }} />
        )}
      </div>
      {points.length > 0 && <PointTable {...{ title, points, format }} />}
    </figure>
  );
}

function useWidth(ref: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(640);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.max(240, entry.contentRect.width)));
    if (ref.current) observer.observe(ref.current);
    return () => observer.disconnect();
  }, [ref]);
  return width;
}

function summaryOf(points: readonly Point[], format: (y: number) => string): string {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last) return "";
  if (first === last) return `${format(last.y)} at step ${count(last.x)}`;
  return `${format(first.y)} at step ${count(first.x)}, ${format(last.y)} at step ${count(last.x)}`;
}

interface PlotProps {
  title: string;
  summary: string;
  points: readonly Point[];
  marks: readonly Point[];
  format: (y: number) => string;
  width: number;
  height: number;
}

function Plot({ title, summary, points, marks, format, width, height }: PlotProps) {
  const [hovered, setHovered] = useState<Point>();
  const shown = marks.filter(({ y }) => Number.isFinite(y));
  const { x, y, xTicks, yTicks } = scales([...points, ...shown], width, height);
  const path = points
    .map((point, i) => `${i === 0 ? "M" : "L"}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`)
    .join("");
  const onMove = (event: PointerEvent) => {
    const at = event.clientX - (event.currentTarget as SVGElement).getBoundingClientRect().left;
    setHovered(nearest(points, (point) => Math.abs(x(point.x) - at)));
  };
  return (
    <svg
      {...{ width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${summary}` }}
      onPointerMove={onMove}
      onPointerLeave={() => setHovered(undefined)}
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
      <path class="curve" d={path} />
      {points.length === 1 && points[0] && <circle class="only" cx={x(points[0].x)} cy={y(points[0].y)} r={2.5} />}
      {shown.map((mark) => (
        <circle class="mark" key={mark.x} cx={x(mark.x)} cy={y(mark.y)} r={4} />
      ))}
      {hovered && (
        <g>
          <line class="cursor" x1={x(hovered.x)} x2={x(hovered.x)} y1={TOP} y2={height - BOTTOM} />
          <text class="value" x={Math.min(width - 150, x(hovered.x) + 6)} y={TOP + 12}>
            step {count(hovered.x)}: {format(hovered.y)}
          </text>
        </g>
      )}
    </svg>
  );
}

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

function PointTable({ title, points, format }: Pick<PlotProps, "title" | "points" | "format">) {
  const every = Math.max(1, Math.ceil(points.length / TABLE_ROWS));
  const rows = points.filter((_, i) => i % every === 0 || i === points.length - 1);
  return (
    <details>
      <summary>{title} as a table</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">step</th>
            <th scope="col">{title}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ x, y }) => (
            <tr key={x}>
              <td>{count(x)}</td>
              <td>{format(y)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
