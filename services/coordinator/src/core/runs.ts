/** A run's way from the queue to its end. */
import { isResting, runOf, runToChange } from "./lookup.js";
import type { Output } from "./effects.js";
import type { MicroBatchState, Outcome, PoolRun, PoolState, Prepared, VisibleState } from "./state.js";

/** Runs that are prepared or trained at a time; the others wait in the queue. */
export const MAX_RUNS = 32;

/** Why a run that was paused by a request is paused. */
export const ON_REQUEST = "on request";

/** A run that was begun in this many lives of the coordinator without making a step fails: it may be what ends them. */
export const MAX_LIVES = 5;

/** From this many on it is begun only while no other such run is: so that the one that ends them is told from the others. */
const SUSPECT_LIVES = 2;

export function newRun(runId: string, paused: boolean, lives: number): PoolRun {
  return {
    ...{ runId, lives },
    phase: "queued",
    paused,
    trouble: "",
    finished: false,
    totalSteps: 0,
    step: 1,
    evaluating: false,
    group: [],
    groupComplete: false,
    stepping: false,
    ahead: [],
    deviceClass: undefined,
    onProcessors: false,
    hasResults: false,
    lastServed: 0,
    turnMs: 0,
    turns: 0,
    longestTurnMs: Infinity,
    leastBytes: 0,
    largestTensor: { bytes: 0, name: "", ofMicroBatch: false },
  };
}

/** Takes runs from the queue, oldest first, while there is room; paused ones stay in it. */
export function startQueued(state: PoolState, out: Output): void {
  if (state.stopping) return;
  let room = MAX_RUNS - state.runs.filter(({ phase }) => phase !== "queued").length;
  let hasSuspect = state.runs.some(({ phase, lives }) => phase !== "queued" && lives >= SUSPECT_LIVES);
  for (const run of state.runs) {
    if (run.phase !== "queued" || run.paused) continue;
    if (run.lives >= MAX_LIVES) {
      const what = `the coordinator ended ${run.lives} times while it prepared this run or made its next step`;
      endRun(
        state,
        run.runId,
        out,
        "failed",
        "failed_precondition",
        `${what}; see its log, and submit the run changed`,
      );
      continue;
    }
    const isSuspect = run.lives >= SUSPECT_LIVES;
    if (room <= 0 || (isSuspect && hasSuspect)) continue;
    hasSuspect ||= isSuspect;
    const begun = runToChange(state, run.runId);
    if (begun) begun.phase = "preparing";
    room -= 1;
    out.effects.push({ type: "prepare", runId: run.runId });
  }
}

/** Gives up to `count` runs of the queue up, oldest first: where there is room they are begun at once. */
export function shareQueue(state: PoolState, count: number, out: Output): void {
  const given = state.runs.filter(({ phase, paused }) => phase === "queued" && !paused).slice(0, count);
  state.runs = state.runs.filter((run) => !given.includes(run));
  for (const { runId } of given) {
    out.facts.push({ type: "run-given-up", runId });
    out.effects.push({ type: "give-up-run", runId });
  }
}

export function beginRun(run: PoolRun, prepared: Prepared, out: Output): void {
  const { totalSteps, stepsDone, deviceClass } = prepared;
  const { longestTurnMs = Infinity, onProcessors = false } = prepared;
  Object.assign(run, { phase: "running", totalSteps, longestTurnMs, onProcessors });
  if (deviceClass !== undefined) Object.assign(run, { deviceClass, hasResults: true });
  beginStep(run, stepsDone + 1);
  const isOver = prepared.stopped || run.step > totalSteps;
  if (!isOver) out.effects.push({ type: "open-stream", runId: run.runId });
  if (prepared.evaluate) beginEvaluation(run, stepsDone, out);
  else if (isOver) finishRun(run, out);
}

/** `stop`: there is no next step, even if there could be. */
export function nextStep(state: PoolState, run: PoolRun, stop: boolean, out: Output): void {
  run.lives = 0;
  beginStep(run, run.step + 1);
  if (stop || run.step > run.totalSteps) finishRun(run, out);
  else fillGroup(state, run);
}

/** No step comes after `lastStep`, perhaps earlier than planned. */
export function endSteps(run: PoolRun, lastStep: number, out: Output): void {
  if (run.phase !== "running" || lastStep >= run.totalSteps) return;
  run.totalSteps = lastStep;
  out.facts.push({ type: "run-shortened", runId: run.runId, totalSteps: lastStep });
  // Unless its last step or evaluation is still being made, which then comes here by itself.
  if (run.step > lastStep && !run.stepping && !run.evaluating) finishRun(run, out);
}

export function beginEvaluation(run: PoolRun, step: number, out: Output): void {
  beginStep(run, step);
  run.evaluating = true;
  out.effects.push({ type: "open-evaluation", runId: run.runId, step });
}

function beginStep(run: PoolRun, number: number): void {
  run.step = number;
  run.evaluating = false;
  run.group = [];
  run.groupComplete = false;
  run.stepping = false;
}

function finishRun(run: PoolRun, out: Output): void {
  run.phase = "finishing";
  out.effects.push({ type: "finish", runId: run.runId });
}

const arrived = (nowMs: number): MicroBatchState => ({
  ...{ status: "waiting", late: false, attempts: 0, failedOn: [], refusals: [], losses: 0 },
  waitsSinceMs: nowMs,
});

/** Takes in a micro-batch of the current evaluation. */
export function addToEvaluation({ nowMs }: PoolState, run: PoolRun, last: boolean): void {
  if (!run.evaluating || run.groupComplete) return;
  run.group.push(arrived(nowMs));
  run.groupComplete = last;
}

/** Moves arrived micro-batches into the current step, up to its last one. */
export function fillGroup({ nowMs }: PoolState, run: PoolRun): void {
  while (!run.evaluating && !run.groupComplete && run.ahead.length > 0) {
    run.groupComplete = run.ahead.shift() === true;
    run.group.push(arrived(nowMs));
  }
}

/** It is no longer paused: its micro-batches wait for trainers from now on. */
export function waitFromNow({ nowMs }: PoolState, run: PoolRun): void {
  run.group = run.group.map((microBatch) => ({ ...microBatch, waitsSinceMs: nowMs }));
}

/** Runs whose result is written end, unless they are paused. */
export function endFinished(state: PoolState, out: Output): void {
  for (const { runId, finished, paused } of state.runs) {
    if (finished && !paused) endRun(state, runId, out, "completed", "", "");
  }
}

export function endRun(
  state: PoolState,
  runId: string,
  out: Output,
  outcome: Outcome,
  code: string,
  message: string,
): void {
  const run = runOf(state, runId);
  if (!run) return;
  for (const task of state.tasks.filter((candidate) => candidate.runId === runId)) {
    const { trainerId, taskId } = task;
    out.facts.push({ type: "task-cancelled", task });
    out.effects.push({ type: "cancel-task", trainerId, taskId });
  }
  state.tasks = state.tasks.filter((task) => task.runId !== runId);
  state.runs = state.runs.filter((candidate) => candidate !== run);
  out.facts.push({ type: "run-over", runId, outcome });
  out.effects.push({ type: "end-run", runId, outcome, code, message });
}

/** What people see of a run, and why it is paused. */
export function visibleState(run: PoolRun): { state: VisibleState; because: string } {
  if (run.paused) return { state: "paused", because: ON_REQUEST };
  if (isResting(run)) return { state: "paused", because: run.trouble };
  if (run.phase === "queued" || run.phase === "preparing") return { state: run.phase, because: "" };
  return { state: "running", because: "" };
}

/** The group whose micro-batches trainers may be given; undefined: none, such as while the run is paused. */
export function openGroup(run: PoolRun): { step: number; evaluation: boolean } | undefined {
  if (run.phase !== "running" || isResting(run)) return undefined;
  return { step: run.step, evaluation: run.evaluating };
}
