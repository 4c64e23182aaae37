/** A run's way from the queue to its end. */
import { isResting, runOf } from "./lookup.js";
import type { Effect, MicroBatchState, PoolState, PreparedFacts, RunState, VisibleState } from "./state.js";

/** Runs that are prepared or made at a time; the others wait in the queue. */
export const MAX_RUNS = 32;

/** Why a run rests that was asked to. */
export const ON_REQUEST = "on request";

export function newRun(runId: string, paused: boolean): RunState {
  return {
    runId,
    phase: "queued",
    paused,
    trouble: "",
    finished: false,
    gradientAccumulation: 0,
    totalSteps: 0,
    step: 1,
    evaluating: false,
    group: [],
    groupComplete: false,
    stepping: false,
    ahead: [],
    deviceClass: undefined,
    hasResults: false,
    lastServed: 0,
    turnMs: 0,
    turns: 0,
  };
}

/** Takes runs from the queue, oldest first, while there is room; paused ones stay in it. */
export function startQueued(state: PoolState, effects: Effect[]): void {
  if (state.stopping) return;
  let room = MAX_RUNS - state.runs.filter(({ phase }) => phase !== "queued").length;
  for (const run of state.runs) {
    if (room <= 0) return;
    if (run.phase !== "queued" || run.paused) continue;
    run.phase = "preparing";
    room -= 1;
    effects.push({ type: "prepare", runId: run.runId });
  }
}

export function beginRun(run: RunState, facts: PreparedFacts, effects: Effect[]): void {
  const { gradientAccumulation, totalSteps, stepsDone, deviceClass } = facts;
  Object.assign(run, { phase: "running", gradientAccumulation, totalSteps });
  if (deviceClass !== undefined) Object.assign(run, { deviceClass, hasResults: true });
  beginStep(run, stepsDone + 1);
  const isOver = facts.stopped || run.step > totalSteps;
  if (!isOver) effects.push({ type: "open-stream", runId: run.runId });
  if (facts.evaluate) beginEvaluation(run, stepsDone, effects);
  else if (isOver) finishRun(run, effects);
}

/** `stop`: there is none, even if there could be. */
export function nextStep(run: RunState, stop: boolean, effects: Effect[]): void {
  beginStep(run, run.step + 1);
  if (stop || run.step > run.totalSteps) finishRun(run, effects);
  else fillGroup(run);
}

export function beginEvaluation(run: RunState, step: number, effects: Effect[]): void {
  beginStep(run, step);
  run.evaluating = true;
  effects.push({ type: "open-evaluation", runId: run.runId, step });
}

function beginStep(run: RunState, number: number): void {
  run.step = number;
  run.evaluating = false;
  run.group = [];
  run.groupComplete = false;
  run.stepping = false;
}

function finishRun(run: RunState, effects: Effect[]): void {
  run.phase = "finishing";
  effects.push({ type: "finish", runId: run.runId });
}

const ARRIVED: MicroBatchState = { status: "waiting", late: false, attempts: 0, failedOn: [], losses: 0 };

/** Takes in a micro-batch of the evaluation that is being made. */
export function addToEvaluation(run: RunState, last: boolean): void {
  if (!run.evaluating || run.groupComplete) return;
  run.group.push(ARRIVED);
  run.groupComplete = last;
}

/** Moves arrived micro-batches into the step that is being made, up to its last one. */
export function fillGroup(run: RunState): void {
  while (!run.evaluating && !run.groupComplete && run.ahead.length > 0) {
    const lastOfEpoch = run.ahead.shift();
    run.group.push(ARRIVED);
    run.groupComplete = lastOfEpoch === true || run.group.length === run.gradientAccumulation;
  }
}

/** Runs whose result is written end, unless they are paused. */
export function endFinished(state: PoolState, effects: Effect[]): void {
  for (const { runId, finished, paused } of state.runs) {
    if (finished && !paused) endRun(state, runId, effects, "completed", "", "");
  }
}

export function endRun(
  state: PoolState,
  runId: string,
  effects: Effect[],
  outcome: "completed" | "cancelled" | "failed",
  code: string,
  message: string,
): void {
  const run = runOf(state, runId);
  if (!run) return;
  for (const { trainerId, taskId } of state.tasks.filter((task) => task.runId === runId)) {
    effects.push({ type: "cancel-task", trainerId, taskId });
  }
  state.tasks = state.tasks.filter((task) => task.runId !== runId);
  state.runs = state.runs.filter((candidate) => candidate !== run);
  effects.push({ type: "end-run", runId, outcome, code, message });
}

/** What people see of a run, and why it rests. */
export function visibleState(run: RunState): { state: VisibleState; because: string } {
  if (run.paused) return { state: "paused", because: ON_REQUEST };
  if (isResting(run)) return { state: "paused", because: run.trouble };
  if (run.phase === "queued" || run.phase === "preparing") return { state: run.phase, because: "" };
  return { state: "running", because: "" };
}
