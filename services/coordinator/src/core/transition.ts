/**
 * The coordinator's core: `transition(state, input)` gives the next state, what changed, and what is to be
 * done. It has no clock, randomness or I/O, so a seeded simulator can drive it through any history.
 *
 * It keeps:
 * - I1: a step is applied only when each of its micro-batches was accepted exactly once; their sum is
 *   taken by the caller in the order of micro-batches.
 * - I2: only the order of work depends on trainers; a run stays with one device class. An evaluation
 *   is between two steps and sees one adapter: what it says may end the run, so the next step waits for it.
 * - I3: a lost trainer's tasks go back to waiting and nothing else changes. A result counts while its
 *   task is in the hands of the trainer it was given to; any other is late or a duplicate, and dropped.
 * - I4: what people may see of a run is a fact; the caller records the facts durably before it carries out any
 *   effect.
 * - I8: see assignment.ts.
 */
import { assignTasks } from "./assignment.js";
import { endOversized } from "./memory.js";
import type { PoolFact } from "./facts.js";
import { changeTrainer, copyOfRun, isResting, runToChange, tasksOf, trainerOf } from "./lookup.js";
import {
  addToEvaluation,
  beginEvaluation,
  beginRun,
  endFinished,
  endRun,
  endSteps,
  fillGroup,
  newRun,
  nextStep,
  openGroup,
  shareQueue,
  startQueued,
  visibleState,
  waitFromNow,
} from "./runs.js";
import type { Output } from "./effects.js";
import type { Input, PoolRun, PoolState } from "./state.js";
import { isQuiet } from "./stopping.js";
import { drain, failTask, loseTrainer, noticeSign, noticeTime, recallTasks, takeResult } from "./tasks.js";

/** Tasks that a trainer may hold or have room for. */
export const MAX_CREDITS = 16;

export interface Transition extends Output {
  readonly state: PoolState;
}

/** `before` is left as it is. */
export function transition(before: PoolState, input: Input): Transition {
  const state = copyOf(before);
  state.nowMs = Math.max(state.nowMs, input.nowMs ?? 0);
  const out: Output = { facts: [], effects: [] };
  apply(state, input, out);
  startQueued(state, out);
  // Before runs end: that a run is no longer paused is recorded, even if it ends at once.
  reportRuns(before, state, out);
  endFinished(state, out);
  endOversized(state, out);
  assignTasks(state, out);
  if (state.stopping && isQuiet(state)) out.effects.push({ type: "pool-quiet" });
  return { state, ...out };
}

/**
 * Micro-batches, tasks and trainers are replaced, never changed, and so are runs while they are in the queue. States share them: there
 * may be thousands.
 */
function copyOf(state: PoolState): PoolState {
  return {
    ...state,
    runs: state.runs.map((run) => (run.phase === "queued" ? run : copyOfRun(run))),
    trainers: [...state.trainers],
    tasks: [...state.tasks],
  };
}

/** Derived from the states, so that no change of a run can go unreported. Runs that are new come after those that are left. */
function reportRuns(before: PoolState, after: PoolState, { facts }: Output): void {
  const old: PoolRun[] = [];
  for (const run of before.runs) {
    if (after.runs[old.length]?.runId === run.runId) old.push(run);
    else if (openGroup(run)) facts.push({ type: "group-closed", runId: run.runId });
  }
  for (const [i, run] of after.runs.entries()) {
    reportState(old[i], run, facts);
    reportGroup(old[i], run, facts);
  }
}

function reportState(old: PoolRun | undefined, run: PoolRun, facts: PoolFact[]): void {
  if (old?.phase === run.phase && old.paused === run.paused && old.trouble === run.trouble) return;
  const was = old && visibleState(old);
  const { state, because } = visibleState(run);
  if (was?.state === state && was.because === because) return;
  facts.push({ type: "run-state", runId: run.runId, state, because });
}

function reportGroup(old: PoolRun | undefined, run: PoolRun, facts: PoolFact[]): void {
  const [was, is] = [old && openGroup(old), openGroup(run)];
  if (was?.step === is?.step && was?.evaluation === is?.evaluation) return;
  if (was) facts.push({ type: "group-closed", runId: run.runId });
  if (is) facts.push({ type: "group-opened", runId: run.runId, ...is });
}

function apply(state: PoolState, input: Input, out: Output): void {
  switch (input.type) {
    case "run-submitted":
      state.runs.push(newRun(input.runId, input.paused === true, input.lives ?? 0));
      break;
    case "trainer-joined":
      addTrainer(state, input, out);
      break;
    case "trainer-pulled":
    case "trainer-heard":
    case "trainer-drained":
      applyToTrainer(state, input, out);
      break;
    case "trainer-left":
      loseTrainer(state, input.trainerId, "left", out);
      break;
    case "time-passed":
      for (const { trainerId, lastSeenMs } of [...state.trainers]) {
        if (state.nowMs - lastSeenMs <= input.leaseMs) continue;
        loseTrainer(state, trainerId, "silent", out);
        out.effects.push({ type: "disconnect", trainerId });
      }
      noticeTime(state, out);
      break;
    case "result-arrived":
      takeResult(state, input, out);
      break;
    case "task-failed":
      failTask(state, input, out);
      break;
    case "queue-shared":
      shareQueue(state, input.runs, out);
      break;
    case "pool-stopping":
      if (!state.stopping) out.facts.push({ type: "pool-stopping" });
      state.stopping = true;
      break;
    default: {
      const run = runToChange(state, input.runId);
      if (!run) break;
      const wasResting = isResting(run);
      applyToRun(state, run, input, out);
      if (wasResting && !isResting(run)) waitFromNow(state, run);
    }
  }
}

function addTrainer(state: PoolState, input: Input & { type: "trainer-joined" }, out: Output): void {
  const { trainerId, deviceClass, draining = false, nonce = "" } = input;
  const { memoryBytes = 0, largestBufferBytes = 0 } = input;
  loseTrainer(state, trainerId, "replaced", out);
  state.trainers.push({
    ...{ trainerId, deviceClass, draining, memoryBytes, largestBufferBytes },
    ...{ credits: 0, tasksElsewhere: 0 },
    lastSeenMs: state.nowMs,
    busySinceMs: state.nowMs,
    failures: 0,
    quarantinedUntilMs: 0,
    quarantineReason: "",
    ...{ computing: "", computingSinceMs: state.nowMs, stuckIn: "" },
    nonce: nonce && `.${nonce}`,
  });
  out.facts.push({ type: "trainer-joined", trainerId, deviceClass });
  if (draining) out.facts.push({ type: "trainer-drained", trainerId });
}

type TrainerInput = Input & { type: "trainer-pulled" | "trainer-heard" | "trainer-drained" };

function applyToTrainer(state: PoolState, input: TrainerInput, out: Output): void {
  const trainer = trainerOf(state, input.trainerId);
  if (!trainer) return;
  if (input.type === "trainer-drained") return drain(state, trainer, input.draining, out);
  changeTrainer(state, input.trainerId, { lastSeenMs: state.nowMs });
  if (input.type === "trainer-heard") return noticeSign(state, trainer, input, out);
  const room = MAX_CREDITS - tasksOf(state, input.trainerId).length;
  const credits = Math.max(0, Math.min(trainer.credits + input.tasks, room));
  changeTrainer(state, input.trainerId, { credits });
}

type RunInput = Exclude<Extract<Input, { runId: string }>, { type: "run-submitted" }>;

function applyToRun(state: PoolState, run: PoolRun, input: RunInput, out: Output): void {
  switch (input.type) {
    case "run-prepared":
      if (run.phase === "preparing") beginRun(run, input, out);
      break;
    case "micro-batch-arrived":
      if (run.phase !== "running") break;
      run.ahead.push(input.lastOfStep);
      run.leastBytes = Math.max(run.leastBytes, input.leastBytes ?? 0);
      if (input.largestTensor && input.largestTensor.bytes > run.largestTensor.bytes)
        run.largestTensor = input.largestTensor;
      fillGroup(state, run);
      break;
    case "stream-ended":
      endSteps(run, input.lastStep, out);
      break;
    case "step-applied":
      if (!run.stepping || run.evaluating) break;
      if (input.evaluate) beginEvaluation(run, run.step, out);
      else nextStep(state, run, false, out);
      break;
    case "evaluation-batch-arrived":
      addToEvaluation(state, run, input.last);
      break;
    case "evaluation-applied":
      if (run.stepping && run.evaluating) nextStep(state, run, input.stop, out);
      break;
    case "run-paused":
      run.paused = true;
      recallTasks(state, run.runId, out);
      break;
    case "run-resumed":
      run.paused = false;
      if (run.trouble !== "") out.effects.push({ type: "retry", runId: run.runId });
      break;
    case "run-troubled":
      run.trouble = input.reason;
      break;
    case "run-finished":
      run.finished = run.phase === "finishing";
      break;
    case "run-failed":
      endRun(state, run.runId, out, "failed", input.code, input.message);
      break;
    case "run-cancelled":
      endRun(state, run.runId, out, "cancelled", "cancelled", "cancelled");
      break;
  }
}
