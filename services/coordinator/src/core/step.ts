/**
 * The coordinator's core: `step(state, event)` gives the next state and what is to be done. It has no
 * clock, randomness or I/O, so a seeded simulator can drive it through any history.
 *
 * It keeps:
 * - I1: a step is applied only when each of its micro-batches was accepted exactly once; their sum is
 *   taken by the caller in the order of micro-batches.
 * - I2: nothing here but order of work depends on trainers; a run stays with one device class. An evaluation
 *   lies between two steps and sees one adapter: what it says may end the run, so the next step waits for it.
 * - I3: a lost trainer's tasks go back to waiting and nothing else changes. A result counts while its
 *   task is in the hands of the trainer it was given to; any other is late or doubled, and dropped.
 * - I4: what people may see of a run is told as `run-state`, and at its end as `end-run`; the caller
 *   records it durably before anything else of the event happens.
 * - I8: see assignment.ts.
 */
import { assignTasks } from "./assignment.js";
import { runOf, trainerOf } from "./lookup.js";
import {
  addToEvaluation,
  beginEvaluation,
  beginRun,
  endFinished,
  endRun,
  fillGroup,
  newRun,
  nextStep,
  startQueued,
  visibleState,
} from "./runs.js";
import type { Effect, Event, PoolState, RunState } from "./state.js";
import { isQuiet } from "./stopping.js";
import { failTask, loseTrainer, noticeTime, pardon, recallTasks, takeResult } from "./tasks.js";

/** Tasks that a trainer may hold. */
export const MAX_CREDITS = 16;

/** The state after `event`, and the effects to carry out, in order. `before` is left as it is. */
export function step(before: PoolState, event: Event): [PoolState, Effect[]] {
  const state = copyOf(before);
  state.nowMs = Math.max(state.nowMs, event.nowMs ?? 0);
  const effects: Effect[] = [];
  apply(state, event, effects);
  startQueued(state, effects);
  // Before runs end: that a run rests no longer is recorded, even if it ends at once.
  const changes = changesOfState(before, state);
  endFinished(state, effects);
  assignTasks(state, effects);
  if (state.stopping && isQuiet(state)) effects.push({ type: "pool-quiet" });
  return [state, [...changes, ...effects]];
}

/** Micro-batches and tasks are replaced, never changed, so states share them: a step may have thousands. */
function copyOf(state: PoolState): PoolState {
  return {
    ...state,
    runs: state.runs.map((run) => ({ ...run, group: [...run.group], ahead: [...run.ahead] })),
    trainers: state.trainers.map((trainer) => ({ ...trainer })),
    tasks: [...state.tasks],
  };
}

function changesOfState(before: PoolState, after: PoolState): Effect[] {
  return after.runs.flatMap((run) => {
    const old = runOf(before, run.runId);
    const was = old && visibleState(old);
    const { state, because } = visibleState(run);
    if (was?.state === state && was.because === because) return [];
    return [{ type: "run-state" as const, runId: run.runId, state, because }];
  });
}

function apply(state: PoolState, event: Event, effects: Effect[]): void {
  switch (event.type) {
    case "run-submitted":
      state.runs.push(newRun(event.runId, event.paused === true));
      break;
    case "trainer-joined":
      loseTrainer(state, event.trainerId, effects);
      state.trainers.push({
        trainerId: event.trainerId,
        deviceClass: event.deviceClass,
        credits: 0,
        lastSeenMs: state.nowMs,
        busySinceMs: state.nowMs,
        draining: event.draining === true,
        failures: 0,
        quarantinedUntilMs: 0,
        quarantineReason: "",
      });
      break;
    case "trainer-pulled":
    case "trainer-heard":
    case "trainer-drained":
      applyToTrainer(state, event);
      break;
    case "trainer-left":
      loseTrainer(state, event.trainerId, effects);
      break;
    case "time-passed":
      for (const { trainerId, lastSeenMs } of [...state.trainers]) {
        if (state.nowMs - lastSeenMs <= event.leaseMs) continue;
        loseTrainer(state, trainerId, effects);
        effects.push({ type: "disconnect", trainerId });
      }
      noticeTime(state);
      break;
    case "result-arrived":
      takeResult(state, event.taskId, effects);
      break;
    case "task-failed":
      failTask(state, event, effects);
      break;
    case "pool-stopping":
      state.stopping = true;
      break;
    default: {
      const run = runOf(state, event.runId);
      if (run) applyToRun(state, run, event, effects);
    }
  }
}

type TrainerEvent = Event & { type: "trainer-pulled" | "trainer-heard" | "trainer-drained" };

function applyToTrainer(state: PoolState, event: TrainerEvent): void {
  const trainer = trainerOf(state, event.trainerId);
  if (!trainer) return;
  if (event.type === "trainer-drained") {
    trainer.draining = event.draining;
    if (!event.draining) pardon(trainer, true);
    return;
  }
  trainer.lastSeenMs = state.nowMs;
  if (event.type === "trainer-pulled") trainer.credits = Math.min(trainer.credits + event.tasks, MAX_CREDITS);
}

type RunEvent = Exclude<Extract<Event, { runId: string }>, { type: "run-submitted" }>;

function applyToRun(state: PoolState, run: RunState, event: RunEvent, effects: Effect[]): void {
  switch (event.type) {
    case "run-prepared":
      if (run.phase === "preparing") beginRun(run, event, effects);
      break;
    case "micro-batch-arrived":
      if (run.phase !== "running") break;
      run.ahead.push(event.lastOfEpoch);
      fillGroup(run);
      break;
    case "step-applied":
      if (!run.stepping || run.evaluating) break;
      if (event.evaluate) beginEvaluation(run, run.step, effects);
      else nextStep(run, false, effects);
      break;
    case "evaluation-batch-arrived":
      addToEvaluation(run, event.last);
      break;
    case "evaluation-applied":
      if (run.stepping && run.evaluating) nextStep(run, event.stop, effects);
      break;
    case "run-paused":
      run.paused = true;
      recallTasks(state, run.runId, effects);
      break;
    case "run-resumed":
      run.paused = false;
      if (run.trouble !== "") effects.push({ type: "retry", runId: run.runId });
      break;
    case "run-troubled":
      run.trouble = event.reason;
      break;
    case "run-finished":
      run.finished = run.phase === "finishing";
      break;
    case "run-failed":
      endRun(state, run.runId, effects, "failed", event.code, event.message);
      break;
    case "run-cancelled":
      endRun(state, run.runId, effects, "cancelled", "cancelled", "cancelled");
      break;
  }
}
