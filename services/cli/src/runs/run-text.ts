/** A run's messages as text for people. */
import { basename } from "node:path";
import { count, trainedRowLines } from "@gradpool/format";
import { RunState, type Evaluation, type ResumePoint, type Run, type RunReport } from "@gradpool/rpc";

/** "run-1", or "nightly (run-1)". */
export const runLabel = ({ runId, runName }: { runId: string; runName: string }): string =>
  runName === "" ? runId : `${runName} (${runId})`;

/** "resumed from checkpoint-epoch0-step10: epoch 0, step 10 of 40". */
export function resumedText({ path, epoch, step, weightsOnly }: ResumePoint, totalSteps: number): string {
  const place = `epoch ${epoch}, step ${count(step)}`;
  if (weightsOnly) return `adapter taken from ${basename(path)} (${place}): a new optimizer, from step 1`;
  return `resumed from ${basename(path)}: ${place}${totalSteps > 0 ? ` of ${count(totalSteps)}` : ""}`;
}

/** Why a run that has not ended makes no steps; empty: it does. */
export function stallText({ state, pausedBecause, waitingFor }: Run): string {
  if (state === RunState.RUN_STATE_PAUSED) return pausedBecause ? `paused: ${pausedBecause}` : "paused";
  if (state === RunState.RUN_STATE_RUNNING && waitingFor) return `waiting for ${waitingFor}`;
  return "";
}

/** What a person should know of the rows that a run trained on, a line each: "12 of 600 rows were longer …". */
export function rowCountLines({ rowCounts, spec }: Run): string[] {
  if (!rowCounts || !spec?.recipe) return [];
  return trainedRowLines(rowCounts, spec.recipe);
}

/** "evaluation loss 1.2345, perplexity 3.437". */
export const evaluationText = ({ loss, perplexity }: Evaluation): string =>
  `evaluation loss ${loss.toFixed(4)}, perplexity ${perplexity.toPrecision(4)}`;

/** "mlflow: http://…", or why nothing arrives there. */
export const reportText = ({ to, url, problem }: RunReport): string => `${to}: ${problem || url}`;
