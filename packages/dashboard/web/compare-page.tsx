/** Several runs in one chart, in the colours and line styles of gradpool run plot. */
import { count } from "@gradpool/format";
import { labelsOf, MAX_PLOTTED_RUNS } from "@gradpool/plots";
import { useState } from "preact/hooks";
import { Chart } from "./chart.js";
import { valueAt, type Curve } from "./curves.js";
import { loss, rate } from "./format.js";
import { useComparedRuns } from "./hooks.js";
import type { LiveRun } from "./live-run.js";
import { Page, State, Table } from "./page.js";
import { Swatch } from "./plot.js";
import { changeQuery, hrefOf, setAll } from "./route.js";
import { selectedIn } from "./run-filter.js";
import { movingAverage, smoothingIn } from "./smoothing.js";
import { SmoothingSlider } from "./smoothing-slider.js";

type Column = "loss" | "learningRate" | "tokensPerSecond";

export function ComparePage({ query }: { query: URLSearchParams }) {
  const runIds = selectedIn(query).slice(0, MAX_PLOTTED_RUNS);
  const lives = useComparedRuns(runIds);
  const smoothing = smoothingIn(query);
  const [step, setStep] = useState<number>();
  const names = labelsOf(lives.map(({ run, runId }) => ({ runName: run?.spec?.runName ?? "", distinction: runId })));
  const curves = (column: Column): Curve[] =>
    lives.map(({ steps, marks }, place) => ({
      ...{ name: names[place] ?? "", place, xs: steps.column("step"), ys: steps.column(column) },
      ...(column === "loss" && { marks }),
    }));
  const problem = lives.find(({ run, problem: why }) => run && why)?.problem ?? "";
  const selection = hrefOf("/", new URLSearchParams(runIds.map((runId) => ["run", runId])));
  return (
    <Page title="Compare runs" problem={problem} isLoading={false}>
      {runIds.length === 0 ? (
        <div class="nothing">
          <p>
            No runs are selected. Select some in <a href="#/">the list of runs</a>.
          </p>
        </div>
      ) : (
        <>
          <p class="selection">
            <a href={selection}>Change the selection</a>
          </p>
          <Table
            label="compared runs"
            head={["Run", "State", "Step", "Loss", "Loss at the pointer", "Best evaluation", "Action"]}
            unheaded={["Action"]}
          >
            {lives.map((live, place) => (
              <ComparedRow key={live.runId} {...{ live, place, smoothing, step, name: names[place] ?? "", runIds }} />
            ))}
          </Table>
          <Chart
            title="Loss"
            curves={curves("loss")}
            format={(y) => y.toFixed(3)}
            height={360}
            marks="evaluations"
            smoothing={smoothing}
            controls={<SmoothingSlider value={smoothing} />}
            onHover={setStep}
          />
          <div class="pair">
            <Chart title="Learning rate" curves={curves("learningRate")} format={rate} />
            <Chart title="Tokens/s" curves={curves("tokensPerSecond")} format={(y) => count(Math.round(y))} />
          </div>
        </>
      )}
    </Page>
  );
}

interface ComparedRowProps {
  live: LiveRun;
  place: number;
  name: string;
  smoothing: number;
  /** Under the pointer. */
  step: number | undefined;
  runIds: readonly string[];
}

function ComparedRow({ live, place, name, smoothing, step, runIds }: ComparedRowProps) {
  const { run, runId, steps, problem } = live;
  const ys = smoothing > 0 ? movingAverage(steps.column("loss"), smoothing) : steps.column("loss");
  const pointed = step === undefined ? undefined : valueAt({ xs: steps.column("step"), ys }, step);
  const best = run?.bestEvaluation;
  const last = steps.last("step");
  const remove = () => {
    changeQuery((query) => {
      setAll(
        query,
        "run",
        runIds.filter((other) => other !== runId),
      );
    });
    // The button is gone.
    document.querySelector<HTMLElement>("h1")?.focus();
  };
  return (
    <tr>
      <th scope="row">
        <Swatch place={place} /> <a href={`#/runs/${encodeURIComponent(runId)}`}>{name}</a>
      </th>
      <td>{run ? <State of={run.state} /> : <span class="quiet">{problem || "loading"}</span>}</td>
      <td class="number">{last === undefined ? "–" : `${count(last)} of ${count(run?.totalSteps ?? last)}`}</td>
      <td class="number">{loss(ys.at(-1))}</td>
      <td class="number pointed">{loss(pointed)}</td>
      <td class="number">{best ? `${loss(best.loss)} at step ${count(best.step ?? 0)}` : "–"}</td>
      <td>
        <button type="button" class="plain" aria-label={`Remove ${name} from the comparison`} onClick={remove}>
          Remove
        </button>
      </td>
    </tr>
  );
}
