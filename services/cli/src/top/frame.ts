/** The whole screen: a head, one of the views, and the keys. */
import { runLabel } from "../runs/run-text.js";
import { overview, type SeriesOf, type Size } from "./overview.js";
import { runDetail } from "./run-detail.js";
import { span, type Line } from "./styled-text.js";
import { selectedRun, type TopState } from "./top-state.js";

const KEYS = {
  runs: "q quit  ↑↓ select  tab trainers  enter detail  p pause  r resume  c cancel",
  trainers: "q quit  ↑↓ select  tab runs  d drain, or undrain",
  detail: "q quit  esc back  ↑↓ other run  p pause  r resume  c cancel",
};

/** Exactly `size.rows` lines, the keys in the last. */
export function frame(state: TopState, seriesOf: SeriesOf, size: Size): Line[] {
  const middle = { columns: size.columns, rows: Math.max(1, size.rows - 2) };
  const run = state.isOpen ? selectedRun(state) : undefined;
  const view = run ? runDetail(run, seriesOf(run.runId), middle) : overview(state, seriesOf, middle);
  const lines = [headLine(state), ...view].slice(0, Math.max(0, size.rows - 1));
  while (lines.length < size.rows - 1) lines.push([]);
  return [...lines, footLine(state, run !== undefined)];
}

function headLine({ address, away, pool }: TopState): Line {
  const title = [span("gradpool top", "bold"), span(`  ${address}  `)];
  if (away) return [...title, span(away, "bad")];
  return pool ? title : [...title, span("connecting to the pool", "dim")];
}

function footLine({ cancelling, message, list, runs }: TopState, isDetail: boolean): Line {
  const runName = runs.find(({ runId }) => runId === cancelling)?.spec?.runName ?? "";
  if (cancelling)
    return [
      span(
        `cancel ${runLabel({ runId: cancelling, runName })}? What it saved is kept. y: yes, any other key: no`,
        "warning",
      ),
    ];
  if (message) return [span(message, "warning")];
  return [span(isDetail ? KEYS.detail : KEYS[list], "dim")];
}
