/** All runs of the pool. */
import { count, duration } from "@gradpool/format";
import { useState } from "preact/hooks";
import { localTime, loss } from "./format.js";
import { usePolled } from "./hooks.js";
import { hasEnded, stallText, stateName, type RunJson, type StepJson } from "./messages.js";
import { Page, State, Table } from "./page.js";

const EVERY_MS = 2_000;

/** Runs that have ended are shown this many at a time, the newest first, and at most as many as a page of the API has. */
const PAGE_RUNS = 100;
const MAX_RUNS = 1_000;

const LIST = "/api/runs?view=RUN_VIEW_BASIC";
const UNFINISHED = ["QUEUED", "PREPARING", "RUNNING", "PAUSED"].map((state) => `&states=RUN_STATE_${state}`);
const ACTIVE = `${LIST}&page_size=${MAX_RUNS}${UNFINISHED.join("")}`;

interface ListJson {
  runs?: RunJson[];
  nextPageToken?: string;
}

/** Speed is measured over this many of the steps seen. */
const WINDOW_STEPS = 10;

/** Last steps seen, by run. */
const windows = new Map<string, StepJson[]>();

export function RunsPage() {
  const [shown, setShown] = useState(PAGE_RUNS);
  const active = usePolled<ListJson>(ACTIVE, EVERY_MS);
  const newest = usePolled<ListJson>(`${LIST}&page_size=${shown}`, EVERY_MS);
  const unfinished = (active.data?.runs ?? []).filter((run) => !hasEnded(run));
  const ordered = [...unfinished, ...(newest.data?.runs ?? []).filter(hasEnded)];
  const hasMore = Boolean(newest.data?.nextPageToken) && shown < MAX_RUNS;
  const isLoading = active.data === undefined || newest.data === undefined;
  return (
    <Page title="Runs" problem={active.problem || newest.problem} isLoading={isLoading}>
      {ordered.length === 0 ? (
        <p class="empty">
          No runs yet; submit one with <code>gradpool run submit</code>.
        </p>
      ) : (
        <Table
          label="runs"
          head={["Run", "State", "Progress", "Loss", "Tokens/s", "Left", "Model", "Submitted"]}
          optional={["Model", "Submitted"]}
        >
          {ordered.map((run) => (
            <RunRow key={run.runId} run={run} />
          ))}
        </Table>
      )}
      {hasMore && (
        <button type="button" onClick={() => setShown(Math.min(shown + PAGE_RUNS, MAX_RUNS))}>
          Show older runs
        </button>
      )}
    </Page>
  );
}

function RunRow({ run }: { run: RunJson }) {
  const { runId, step = 0, totalSteps = 0, lastStep, spec } = run;
  const isRunning = stateName(run.state) === "running";
  const { tokensPerSecond, secondsPerStep } = speedOf(run);
  const stall = stallText(run);
  return (
    <tr>
      <th scope="row">
        <a href={`#/runs/${encodeURIComponent(runId)}`}>{runId}</a>
      </th>
      <td>
        <State of={run.state} />
        {stall && <div class="quiet">{stall}</div>}
      </td>
      <td>
        <Progress step={step} totalSteps={totalSteps} />
      </td>
      <td class="number">{lastStep ? loss(lastStep.loss ?? 0) : "–"}</td>
      <td class="number">{isRunning && tokensPerSecond ? count(Math.round(tokensPerSecond)) : "–"}</td>
      <td class="number">{isRunning && secondsPerStep ? duration((totalSteps - step) * secondsPerStep) : "–"}</td>
      <td class="optional">{spec?.modelId}</td>
      <td class="optional">{localTime(run.submittedAt)}</td>
    </tr>
  );
}

export function Progress({ step, totalSteps }: { step: number; totalSteps: number }) {
  if (totalSteps === 0) return <>–</>;
  const text = `${count(step)} of ${count(totalSteps)} steps`;
  return (
    <>
      <progress max={totalSteps} value={step} aria-label={text} />
      <div class="quiet">{text}</div>
    </>
  );
}

function speedOf({ runId, lastStep }: RunJson): { tokensPerSecond?: number; secondsPerStep?: number } {
  const window = windows.get(runId) ?? [];
  if (lastStep && lastStep.step !== window.at(-1)?.step) window.push(lastStep);
  windows.set(runId, window.slice(-WINDOW_STEPS));
  const seconds = window.reduce((sum, step) => sum + (step.seconds ?? 0), 0);
  const tokens = window.reduce((sum, step) => sum + (step.tokens ?? 0), 0);
  return seconds > 0 ? { tokensPerSecond: tokens / seconds, secondsPerStep: seconds / window.length } : {};
}
