/** Curves over steps, as SVG, and as a table for those who cannot see them. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "@gradpool/format";
import { drawn, summaryOf, tableSteps, valueAt, type Curve, type DrawnCurve } from "./curves.js";
import { Plot } from "./plot.js";

export interface ChartProps {
  title: string;
  curves: readonly Curve[];
  format: (y: number) => string;
  /** What the curves' marks are. */
  marks?: string;
  /** Weight of the average that is drawn in place of the values, which are then faint; 0: none. */
  smoothing?: number;
  height?: number;
  /** What changes the chart, beside its title. */
  controls?: ComponentChildren;
  /** Called with the step under the pointer. */
  onHover?: (step: number | undefined) => void;
}

export function Chart(props: ChartProps) {
  const { title, curves, format, marks, smoothing = 0, height = 200, controls, onHover } = props;
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const shown = curves.map((curve) => drawn(curve, smoothing, width));
  const isEmpty = shown.every(({ points }) => points.length === 0);
  const summary = summaryOf(shown, format);
  const hasMarks = marks !== undefined && shown.some((curve) => curve.marks.length > 0);
  return (
    <figure class="chart">
      <div class="chart-head">
        <figcaption>
          <strong>{title}</strong> <span class="quiet">{summary}</span>
          {hasMarks && <span class={shown.length > 1 ? "mark-note several" : "mark-note"}>● {marks}</span>}
        </figcaption>
        {controls}
      </div>
      <div ref={frame} class="frame">
        {isEmpty ? (
          <p class="empty">no steps yet</p>
        ) : (
          <Plot {...{ label: `${title}: ${summary}`, curves: shown, format, width, height, onHover }} />
        )}
      </div>
      {!isEmpty && <CurveTable {...{ title, curves: shown, format }} />}
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

interface CurveTableProps {
  title: string;
  curves: readonly DrawnCurve[];
  format: (y: number) => string;
}

function CurveTable({ title, curves, format }: CurveTableProps) {
  const text = (value: number | undefined) => (value === undefined ? "–" : format(value));
  return (
    <details>
      <summary>{title} as a table</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label={`${title} as a table`}>
        <table>
          <thead>
            <tr>
              <th scope="col">step</th>
              {curves.map(({ name }) => (
                <th scope="col" key={name}>
                  {curves.length > 1 ? name : title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {tableSteps(curves).map((step) => (
              <tr key={step}>
                <td>{count(step)}</td>
                {curves.map((curve) => (
                  <td key={curve.name}>{text(valueAt(curve, step))}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
