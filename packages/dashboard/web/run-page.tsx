/** One run: its progress, curves, checkpoints and settings. */
import { Chart } from "./chart.js";
import { count, counted, duration } from "@gradpool/format";
import { localTime, loss, rate } from "./format.js";
import { useLiveRun } from "./hooks.js";
import type { LiveRun } from "./live-run.js";
import { hasEnded, stallText, titleOf, type EvaluationJson, type RunJson } from "./messages.js";
import { Facts, Page, State, Table } from "./page.js";
import { hrefOf } from "./route.js";
import { RunActions } from "./run-actions.js";
import { Progress } from "./runs-page.js";
import { smoothingIn } from "./smoothing.js";
import { SmoothingSlider } from "./smoothing-slider.js";

/** Speed is measured over this many last steps. */
const WINDOW_STEPS = 20;

export function RunPage({ runId, query }: { runId: string; query: URLSearchParams }) {
  const live = useLiveRun(runId);
  const run = live?.run;
  return (
    <Page title={run ? titleOf(run) : runId} problem={live?.problem ?? ""} isLoading={run === undefined}>
      {live && run && <RunView live={live} run={run} smoothing={smoothingIn(query)} />}
    </Page>
  );
}

function RunView({ live, run, smoothing }: { live: LiveRun; run: RunJson; smoothing: number }) {
  const { steps } = live;
  const stall = stallText(run);
  const curve = (ys: Float64Array) => [{ name: titleOf(run), xs: steps.column("step"), ys }];
  return (
    <>
      <Identity run={run} />
      <div class="head">
        <p aria-live="polite">
          <State of={run.state} /> {stall && <span class={run.error ? "problem" : ""}>{stall}</span>}
        </p>
        <RunActions run={run} />
      </div>
      <Progress step={steps.last("step") ?? run.step ?? 0} totalSteps={run.totalSteps ?? 0} />
      <Numbers live={live} run={run} />
      <Chart
        title="Loss"
        curves={curve(steps.column("loss")).map((one) => ({ ...one, marks: live.marks }))}
        format={(y) => y.toFixed(3)}
        height={300}
        marks="evaluations"
        smoothing={smoothing}
        controls={<SmoothingSlider value={smoothing} />}
      />
      <div class="pair">
        <Chart title="Learning rate" curves={curve(steps.column("learningRate"))} format={rate} />
        <Chart title="Tokens/s" curves={curve(steps.column("tokensPerSecond"))} format={(y) => count(Math.round(y))} />
      </div>
      <Notes run={run} />
      <Checkpoints live={live} />
      <Settings run={run} />
    </>
  );
}

/** Which run it is, where its name does not say, its tags, and where to compare it. */
function Identity({ run }: { run: RunJson }) {
  const tags = run.spec?.tags ?? [];
  return (
    <p class="tags">
      {titleOf(run) !== run.runId && <span class="quiet">{run.runId}</span>}
      {tags.map((tag) => (
        <a class="tag" key={tag} href={hrefOf("/", new URLSearchParams({ tag }))} aria-label={`runs tagged ${tag}`}>
          {tag}
        </a>
      ))}
      <a href={hrefOf("/", new URLSearchParams({ run: run.runId }))}>Compare with others</a>
    </p>
  );
}

function Numbers({ live: { steps, tokens, evaluations }, run }: { live: LiveRun; run: RunJson }) {
  const { totalSteps = 0 } = run;
  const lastEvaluation = evaluations.at(-1);
  const bestEvaluation = bestOf(evaluations);
  const secondsPerStep = steps.meanOfLast("seconds", WINDOW_STEPS);
  const left = totalSteps - (steps.last("step") ?? 0);
  const last = steps.last("loss");
  const speed = steps.meanOfLast("tokensPerSecond", WINDOW_STEPS);
  const learningRate = steps.last("learningRate");
  const norm = steps.last("gradNorm");
  return (
    <Facts
      of={[
        ["Loss", last === undefined ? "–" : loss(last)],
        ["Gradient norm", norm === undefined ? "–" : norm.toPrecision(3)],
        ["Learning rate", learningRate === undefined ? "–" : rate(learningRate)],
        ["Tokens/s", speed === undefined ? "–" : count(Math.round(speed))],
        ["Left", hasEnded(run) || secondsPerStep === undefined ? "–" : duration(left * secondsPerStep)],
        ["Tokens", count(tokens)],
        ...(lastEvaluation ? [["Evaluation", loss(lastEvaluation.loss ?? 0)] as const] : []),
        ...(bestEvaluation
          ? [
              [
                "Best evaluation",
                `${loss(bestEvaluation.loss ?? 0)} at step ${count(bestEvaluation.step ?? 0)}`,
              ] as const,
            ]
          : []),
      ]}
    />
  );
}

/** The first of those with the lowest loss. */
const bestOf = (evaluations: readonly EvaluationJson[]): EvaluationJson | undefined =>
  evaluations.reduce<EvaluationJson | undefined>(
    (best, one) => (best === undefined || (one.loss ?? Infinity) < (best.loss ?? Infinity) ? one : best),
    undefined,
  );

function Notes({ run: { notes = [], resumedFrom, stoppedEarly } }: { run: RunJson }) {
  const all = [
    ...(resumedFrom ? [`Resumed from ${resumedFrom.path}, after step ${count(resumedFrom.step ?? 0)}`] : []),
    ...(stoppedEarly ? ["Stopped early: evaluations no longer improved"] : []),
    ...notes,
  ];
  if (all.length === 0) return null;
  return (
    <section aria-labelledby="notes">
      <h2 id="notes">Notes</h2>
      <ul>
        {all.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </section>
  );
}

function Checkpoints({ live: { checkpoints } }: { live: LiveRun }) {
  return (
    <section aria-labelledby="checkpoints">
      <h2 id="checkpoints">Checkpoints</h2>
      {checkpoints.length === 0 ? (
        <p class="empty">none yet</p>
      ) : (
        <Table label="checkpoints" head={["Step", "Epoch", "Folder"]}>
          {checkpoints.toReversed().map(({ path, step = 0, epoch = 0 }) => (
            <tr key={path}>
              <td class="number">{count(step)}</td>
              <td class="number">{epoch}</td>
              <td class="path">{path}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

function Settings({ run }: { run: RunJson }) {
  const { spec, rows = 0, trainableParameters = 0, allParameters = 0 } = run;
  const recipe = Object.entries(spec?.recipe ?? {}).flatMap(([name, value]) =>
    name === "lora" ? Object.entries(value as object) : [[name, value] as [string, unknown]],
  );
  return (
    <section aria-labelledby="settings">
      <h2 id="settings">Settings</h2>
      <Facts
        of={[
          ["Model", spec?.modelId],
          ["Data", `${spec?.dataset?.join(", ") ?? ""} (${counted(rows, "row")})`],
          ...(spec?.evalDataset?.length ? [["Held-out data", spec.evalDataset.join(", ")] as const] : []),
          ["Output", spec?.outputDir],
          ["Parameters", `${count(trainableParameters)} trained of ${count(allParameters)}`],
          ["Submitted", localTime(run.submittedAt)],
          ["Ended", localTime(run.endedAt)],
        ]}
      />
      <h3>Recipe</h3>
      <Facts
        of={recipe.map(([name, value]) => [
          words(name),
          typeof value === "object" ? JSON.stringify(value) : String(value),
        ])}
      />
    </section>
  );
}

/** maxLength as max length. */
const words = (name: string) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
