/** Facts as lines of runs' logs, recorded along with them. No text of a data set gets in here. */
import { basename } from "node:path";
import { count, trainedRowLines } from "@gradpool/format";
import { LogLevel, RowCounts, RunState, type Run, type RunReport } from "@gradpool/rpc";
import { placeOf } from "../core/lookup.js";
import { ON_REQUEST } from "../core/runs.js";
import type { PoolFact } from "../core/facts.js";
import type { Fact } from "../facts.js";
import { LOSSES } from "./event-payloads.js";

/** Longer entries are truncated. */
const MAX_CHARACTERS = 1_000;

export interface LogLine {
  level: LogLevel;
  message: string;
}

/** About a run, whose record was `before` and is `after` when all that is recorded with the fact is. Steps have numbers of their own. */
export function linesOf(fact: Fact, before: Run | undefined, after: Run): LogLine[] {
  switch (fact.type) {
    case "run-submitted":
      return [info(`submitted: ${after.spec?.modelId} on ${after.spec?.dataset.join(" ")}`)];
    case "run-prepared":
      return before ? preparedLines(before, after) : [];
    case "step-made":
      return before ? firstRowLines(fact.step.step, before, after) : [];
    case "run-shortened":
      return [info(`it makes ${count(fact.totalSteps)} steps: those without a target are left out`)];
    case "evaluation-made": {
      const { step, loss, perplexity } = fact.evaluation;
      const numbers = `loss ${loss.toFixed(4)}, perplexity ${perplexity.toPrecision(4)}`;
      return [info(`evaluated after step ${step}: ${numbers}`), ...stopLines(before, after)];
    }
    case "checkpoint-changed": {
      const { path, removed } = fact.checkpoint;
      if (!removed) return [info(`checkpoint saved: ${path}`)];
      return [info(`checkpoint ${basename(path)} removed: only the newest are kept`)];
    }
    case "run-waits":
      return [fact.waitingFor ? warn(`waiting for ${fact.waitingFor}`) : info("no longer waiting")];
    case "task-failed":
      return [warn(`${placeOf(fact.task)} failed on ${fact.task.trainerId}: ${fact.message}`)];
    case "task-assigned": {
      const { task, attempt } = fact;
      if (attempt === 1) return [];
      return [info(`${placeOf(task)} assigned to ${task.trainerId}, attempt ${attempt}`)];
    }
    case "run-state":
      return before ? stateLines(before, after) : [];
    case "run-reported":
      return reportLines(fact.report, before);
    case "run-ended":
      return [endLine(after), ...allRowLines(after)];
    default:
      return [];
  }
}

/** By run, about a trainer that was lost while it had micro-batches. */
export function linesOfLoss({ trainerId, how, tasks }: PoolFact & { type: "trainer-lost" }): Map<string, LogLine> {
  const lines = new Map<string, LogLine>();
  for (const { runId } of tasks) {
    const count = tasks.filter((task) => task.runId === runId).length;
    const work = count === 1 ? "micro-batch" : `${count} micro-batches`;
    lines.set(runId, warn(`${trainerId} was lost: ${LOSSES[how]}; reassigning its ${work}`));
  }
  return lines;
}

/** What preparing the run found; at a restart, only what is new. */
function preparedLines(before: Run, after: Run): LogLine[] {
  const notes = after.notes.slice(before.notes.length).map(warn);
  const found = before.totalSteps === 0 ? factLines(after) : [];
  return [...notes, ...found, ...stopLines(before, after)];
}

function factLines({ rows, totalSteps, trainableParameters, allParameters, resumedFrom, spec }: Run): LogLine[] {
  const parameters = `${count(trainableParameters)} of ${count(allParameters)} parameters are trained`;
  const lines = [`prepared: ${count(rows)} rows, ${count(totalSteps)} steps; ${parameters}; into ${spec?.outputDir}`];
  if (resumedFrom) lines.push(`resumes from ${resumedFrom.path}, after step ${resumedFrom.step}`);
  return lines.map(info);
}

const stopLines = (before: Run | undefined, { stoppedEarly }: Run): LogLine[] =>
  stoppedEarly && !before?.stoppedEarly ? [info("stops early: evaluations no longer improve")] : [];

/** None when the coordinator restarted and finds the run as it was. */
function stateLines(before: Run, after: Run): LogLine[] {
  const { state, step, totalSteps, pausedBecause } = after;
  if (before.state === state && before.pausedBecause === pausedBecause) return [];
  switch (state) {
    case RunState.RUN_STATE_PAUSED:
      return [(pausedBecause === ON_REQUEST ? info : warn)(`paused: ${pausedBecause}`)];
    case RunState.RUN_STATE_RUNNING:
      return [info(step > 0 ? `resumes after step ${step} of ${totalSteps}` : `training begins: ${totalSteps} steps`)];
    default:
      if (before.startedAt) return [warn("the coordinator restarted and resumed the run")];
      return [
        info(state === RunState.RUN_STATE_QUEUED ? "waiting in the queue" : "examining model, tokenizer and data"),
      ];
  }
}

/** A problem once, however often it is met again. */
function reportLines({ to, url, problem }: RunReport, before: Run | undefined): LogLine[] {
  const known = before?.reports.find((report) => report.to === to);
  if (problem !== "") return problem === known?.problem ? [] : [warn(`not reported to ${to}: ${problem}`)];
  return url === known?.url && known.problem === "" ? [] : [info(`reported to ${to}: ${url}`)];
}

/** What a step's rows are the first of the run for: to be cut, or to have no target. */
function firstRowLines(step: number, { rowCounts: before }: Run, { rowCounts: after, spec }: Run): LogLine[] {
  if (!after || !spec?.recipe) return [];
  const first = RowCounts.create({ rows: after.rows - (before?.rows ?? 0) });
  for (const key of ["rowsCut", "rowsWithoutTarget", "stepsWithoutTarget"] as const) {
    if (!before?.[key]) first[key] = after[key];
  }
  if (first.rowsCut > 0) first.rowsWithoutEos = after.rowsWithoutEos;
  return trainedRowLines(first, spec.recipe).map((line) => warn(`up to step ${step}, ${line}`));
}

/** Of the whole run. */
function allRowLines({ rowCounts, spec }: Run): LogLine[] {
  if (!rowCounts || !spec?.recipe) return [];
  return trainedRowLines(rowCounts, spec.recipe).map(warn);
}

function endLine({ state, step, tokens, error }: Run): LogLine {
  if (state === RunState.RUN_STATE_COMPLETED) {
    return info(`completed: ${count(step)} steps, ${count(tokens)} target tokens`);
  }
  if (state === RunState.RUN_STATE_CANCELLED) return info(`cancelled after step ${step}`);
  return lineOf(LogLevel.LOG_LEVEL_ERROR, `failed after step ${step}: ${error?.message}`);
}

/** One line, whatever a trainer or a service says. */
function lineOf(level: LogLevel, message: string): LogLine {
  const [line = ""] = message.split("\n");
  return { level, message: line.slice(0, MAX_CHARACTERS) };
}

const info = (message: string) => lineOf(LogLevel.LOG_LEVEL_INFO, message);
const warn = (message: string) => lineOf(LogLevel.LOG_LEVEL_WARN, message);
