/** All runs of the pool. */
import { count, counted, duration } from "@gradpool/format";
import { MAX_PLOTTED_RUNS } from "@gradpool/plots";
import { useState } from "preact/hooks";
import { ActiveFilters, clearFilter, Filters, focusFilters, setFilter, withTags } from "./filters.js";
import { loss } from "./format.js";
import { usePolled } from "./hooks.js";
import { stallText, stateName, titleOf, type RunJson, type StepJson } from "./messages.js";
import { Page, Path, State, Table, Time } from "./page.js";
import { changeQuery, hrefOf, setAll } from "./route.js";
import { ENDED, filterIn, isFilter, listPath, selectedIn, UNFINISHED, type RunFilter } from "./run-filter.js";

const EVERY_MS = 2_000;

/** Runs that have ended are shown this many at a time, the newest first, and at most as many as a page of the API has. */
const PAGE_RUNS = 100;
const MAX_RUNS = 1_000;

interface ListJson {
  runs?: RunJson[];
  nextPageToken?: string;
}

/** Speed is measured over this many of the steps seen. */
const WINDOW_STEPS = 10;

/** Last steps seen, by run. */
const windows = new Map<string, StepJson[]>();

export function RunsPage({ query }: { query: URLSearchParams }) {
  const [shown, setShown] = useState(PAGE_RUNS);
  const filter = filterIn(query);
  const selected = selectedIn(query);
  const paths = [listPath(filter, UNFINISHED, MAX_RUNS), listPath(filter, ENDED, shown)] as const;
  const active = usePolled<ListJson>(paths[0], EVERY_MS);
  const ended = usePolled<ListJson>(paths[1], EVERY_MS);
  const endedRuns = ended.data?.runs ?? [];
  // Of two answers that have a run, the one in which it has ended is the newer.
  const isOver = new Set(endedRuns.map(({ runId }) => runId));
  const runs = [...(active.data?.runs ?? []).filter(({ runId }) => !isOver.has(runId)), ...endedRuns];
  const hasMore = Boolean(ended.data?.nextPageToken) && shown < MAX_RUNS;
  const missing = [active, ended].filter(({ data }, i) => paths[i] !== undefined && data === undefined).length;
  // A pool without runs has nothing to filter or to compare.
  const hasTools = missing > 0 || runs.length > 0 || isFilter(filter) || selected.length > 0;
  const knownTags = [...new Set(runs.flatMap(({ spec }) => spec?.tags ?? []))].sort();
  return (
    <Page title="Runs" problem={active.problem || ended.problem} isLoading={missing === paths.filter(Boolean).length}>
      {hasTools && (
        <>
          <Filters {...{ filter, knownTags }} />
          <div class="bar">
            <ActiveFilters filter={filter} />
            <Selection selected={selected} />
          </div>
        </>
      )}
      {runs.length === 0 ? (
        missing === 0 && <NoRuns filter={filter} />
      ) : (
        <Table
          label="runs"
          head={["Compare", "Run", "State", "Progress", "Loss", "Tokens/s", "Left", "Model", "Submitted"]}
          optional={["Model", "Submitted"]}
          unheaded={["Compare"]}
        >
          {runs.map((run) => (
            <RunRow key={run.runId} {...{ run, filter, selected }} />
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

function NoRuns({ filter }: { filter: RunFilter }) {
  if (isFilter(filter)) {
    return (
      <div class="nothing">
        <p>No runs match these filters.</p>
        <button type="button" onClick={clearFilter}>
          Show all runs
        </button>
      </div>
    );
  }
  return (
    <div class="nothing">
      <p>No runs yet. Submit one, and it appears here:</p>
      <pre tabIndex={0}>gradpool run submit --model_id MODEL --dataset FILES --run_name NAME</pre>
    </div>
  );
}

/** What is selected, at the same place whether anything is or not. */
function Selection({ selected }: { selected: readonly string[] }) {
  if (selected.length === 0) return <p class="selection quiet">Select runs to compare their curves in one chart.</p>;
  const query = new URLSearchParams(selected.map((runId) => ["run", runId]));
  return (
    <p class="selection">
      <a href={hrefOf("/compare", query)}>Compare {counted(selected.length, "run")}</a>
      <button
        type="button"
        class="plain"
        onClick={() => {
          select([]);
          focusFilters();
        }}
      >
        Clear selection
      </button>
    </p>
  );
}

const select = (runIds: readonly string[]): void => changeQuery((query) => setAll(query, "run", runIds));

interface RunRowProps {
  run: RunJson;
  filter: RunFilter;
  selected: readonly string[];
}

function RunRow({ run, filter, selected }: RunRowProps) {
  const { runId, step = 0, totalSteps = 0, lastStep, spec } = run;
  const isRunning = stateName(run.state) === "running";
  const { tokensPerSecond, secondsPerStep } = speedOf(run);
  const stall = stallText(run);
  const isSelected = selected.includes(runId);
  const isFull = selected.length >= MAX_PLOTTED_RUNS;
  return (
    <tr>
      <td class="select">
        <input
          type="checkbox"
          aria-label={`compare ${titleOf(run)}`}
          checked={isSelected}
          disabled={isFull && !isSelected}
          onChange={() => select(isSelected ? selected.filter((other) => other !== runId) : [...selected, runId])}
        />
      </td>
      <th scope="row">
        <a href={`#/runs/${encodeURIComponent(runId)}`}>{titleOf(run)}</a>
        {titleOf(run) !== runId && <div class="quiet number">{runId}</div>}
        <Tags of={spec?.tags ?? []} filter={filter} />
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
      <td class="optional path">
        <Path of={spec?.modelId} />
      </td>
      <td class="optional">
        <Time of={run.submittedAt} />
      </td>
    </tr>
  );
}

/** Each narrows the list to runs that have it. */
function Tags({ of, filter }: { of: readonly string[]; filter: RunFilter }) {
  if (of.length === 0) return null;
  return (
    <div class="tags">
      {of.map((tag) => (
        <button
          type="button"
          class="tag"
          key={tag}
          aria-label={`only runs tagged ${tag}`}
          onClick={() => setFilter(withTags(filter, tag))}
        >
          {tag}
        </button>
      ))}
    </div>
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
