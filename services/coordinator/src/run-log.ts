/**
 * What happened to a run, in words: made of the changes of its record and of what happens to its micro-batches,
 * and recorded along with them. No text of a data set gets in here.
 */
import { basename } from "node:path";
import { LogLevel, RunState, type Run } from "@gradpool/rpc";
import { ON_REQUEST } from "./core/runs.js";
import type { RecordedChange } from "./run-registry.js";
import type { Change } from "./store/run-store.js";

const LEVELS = {
  info: LogLevel.LOG_LEVEL_INFO,
  warn: LogLevel.LOG_LEVEL_WARN,
  error: LogLevel.LOG_LEVEL_ERROR,
} as const;

/** Characters of an entry that are kept. */
const MAX_CHARACTERS = 1_000;

export interface LogLine {
  level: LogLevel;
  message: string;
}

/** A line for the log of a run. */
export function noteOf(runId: string, level: keyof typeof LEVELS, message: string): RecordedChange & { type: "note" } {
  const [line = ""] = message.split("\n");
  return { type: "note", runId, level: LEVELS[level], message: line.slice(0, MAX_CHARACTERS) };
}

/** Lines about a checkpoint or an evaluation. Steps have numbers of their own. */
export function linesOfChange(change: Change): LogLine[] {
  if (change.type === "checkpoint") {
    const { path, removed } = change.checkpoint;
    return [
      info(removed ? `checkpoint ${basename(path)} removed, to keep the newest alone` : `checkpoint saved: ${path}`),
    ];
  }
  if (change.type === "evaluation") {
    const { step, loss, perplexity } = change.evaluation;
    return [info(`evaluated behind step ${step}: loss ${loss.toFixed(4)}, perplexity ${perplexity.toPrecision(4)}`)];
  }
  return [];
}

/** Lines about what became of a run; `before` is undefined for a new one. */
export function linesOfRun(before: Run | undefined, after: Run): LogLine[] {
  if (!before) return [info(`submitted: ${after.spec?.modelId} on ${after.spec?.dataset.join(" ")}`)];
  const notes = after.notes.slice(before.notes.length).map((note) => ({ level: LEVELS.warn, message: note }));
  const found = before.totalSteps === 0 && after.totalSteps > 0 ? preparedLines(after) : [];
  const stopped =
    after.stoppedEarly && !before.stoppedEarly ? [info("stops early: evaluations do not get better")] : [];
  const isSameRest = before.state === after.state && before.pausedBecause === after.pausedBecause;
  return [...notes, ...found, ...stopped, ...(isSameRest ? [] : stateLines(before, after))];
}

function preparedLines({ rows, totalSteps, trainableParameters, allParameters, resumedFrom, spec }: Run): LogLine[] {
  const parameters = `${count(trainableParameters)} of ${count(allParameters)} parameters are trained`;
  const lines = [`prepared: ${count(rows)} rows, ${count(totalSteps)} steps; ${parameters}; into ${spec?.outputDir}`];
  if (resumedFrom) lines.push(`goes on from ${resumedFrom.path}, behind step ${resumedFrom.step}`);
  return lines.map(info);
}

function stateLines(before: Run, after: Run): LogLine[] {
  const { state, step, totalSteps, tokens, error, pausedBecause } = after;
  switch (state) {
    case RunState.RUN_STATE_QUEUED:
    case RunState.RUN_STATE_PREPARING:
      if (before.startedAt)
        return [{ level: LEVELS.warn, message: "the coordinator started again, and takes the run up" }];
      return [info(state === RunState.RUN_STATE_QUEUED ? "waits in the queue" : "examining model, tokenizer and data")];
    case RunState.RUN_STATE_RUNNING:
      return [info(step > 0 ? `goes on behind step ${step} of ${totalSteps}` : `training begins: ${totalSteps} steps`)];
    case RunState.RUN_STATE_PAUSED: {
      const level = pausedBecause === ON_REQUEST ? LEVELS.info : LEVELS.warn;
      return [{ level, message: `paused: ${pausedBecause}` }];
    }
    case RunState.RUN_STATE_COMPLETED:
      return [info(`completed: ${count(step)} steps, ${count(tokens)} target tokens`)];
    case RunState.RUN_STATE_CANCELLED:
      return [info(`cancelled behind step ${step}`)];
    case RunState.RUN_STATE_FAILED:
      return [{ level: LEVELS.error, message: `failed behind step ${step}: ${error?.message}` }];
    case RunState.RUN_STATE_UNSPECIFIED:
      return [];
  }
}

const info = (message: string): LogLine => ({ level: LEVELS.info, message });

const count = (value: number) => value.toLocaleString("en-US");
