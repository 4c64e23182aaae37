/**
 * The coordinator's core: `step(state, event)` gives the next state and what is to be done. It has no
 * clock, randomness or I/O, so a seeded simulator can drive it through any history.
 *
 * It keeps:
 * - I1: a step is applied only when each of its micro-batches was accepted exactly once; their sum is
 *   taken by the caller in the order of micro-batches.
 * - I2: nothing here but order of work depends on trainers; a run stays with one device class.
 * - I3: a lost trainer's tasks go back to waiting and nothing else changes; the first result of a
 *   (run, step, micro-batch) is accepted, any other dropped.
 * - I8, fairness: a free place goes to the run that was served least recently, so with R runs ready at
 *   most R − 1 tasks are handed out between two of any of them.
 */
import type { Effect, Event, PoolState, RunState, TaskState, TrainerState } from "./state.js";

/** Tries of one micro-batch before its run fails with the last cause. */
export const MAX_ATTEMPTS = 3;

export function step(before: PoolState, event: Event): [PoolState, Effect[]] {
  const state = structuredClone(before);
  const effects: Effect[] = [];
  apply(state, event, effects);
  assignTasks(state, effects);
  return [state, effects];
}

function apply(state: PoolState, event: Event, effects: Effect[]): void {
  switch (event.type) {
    case "run-submitted":
      state.runs.push(newRun(event.runId));
      effects.push({ type: "prepare", runId: event.runId });
      break;
    case "run-prepared": {
      const run = activeRun(state, event.runId, "preparing");
      if (!run) break;
      run.phase = "running";
      run.gradientAccumulation = event.gradientAccumulation;
      run.totalSteps = event.totalSteps;
      effects.push({ type: "open-stream", runId: run.runId });
      break;
    }
    case "micro-batch-arrived": {
      const run = activeRun(state, event.runId, "running");
      if (!run) break;
      run.ahead.push(event.lastOfEpoch);
      fillGroup(run);
      break;
    }
    case "trainer-joined":
      loseTrainer(state, event.trainerId);
      state.trainers.push({
        trainerId: event.trainerId,
        deviceClass: event.deviceClass,
        credits: 0,
        lastSeenMs: event.nowMs,
      });
      break;
    case "trainer-pulled": {
      const trainer = trainerOf(state, event.trainerId);
      if (!trainer) break;
      trainer.credits += event.tasks;
      trainer.lastSeenMs = event.nowMs;
      break;
    }
    case "trainer-heard": {
      const trainer = trainerOf(state, event.trainerId);
      if (trainer) trainer.lastSeenMs = event.nowMs;
      break;
    }
    case "trainer-left":
      loseTrainer(state, event.trainerId);
      break;
    case "time-passed":
      for (const { trainerId, lastSeenMs } of [...state.trainers]) {
        if (event.nowMs - lastSeenMs <= event.leaseMs) continue;
        loseTrainer(state, trainerId);
        effects.push({ type: "disconnect", trainerId });
      }
      break;
    case "result-arrived":
      takeResult(state, event, effects);
      break;
    case "task-failed":
      failTask(state, event, effects);
      break;
    case "step-applied": {
      const run = activeRun(state, event.runId, "running");
      if (!run?.stepping) break;
      beginStep(run, run.step + 1);
      if (run.step > run.totalSteps) {
        run.phase = "finishing";
        effects.push({ type: "finish", runId: run.runId });
      } else {
        fillGroup(run);
      }
      break;
    }
    case "run-finished":
      if (activeRun(state, event.runId, "finishing")) endRun(state, event.runId, effects, "completed", "", "");
      break;
    case "run-failed":
      endRun(state, event.runId, effects, "failed", event.code, event.message);
      break;
    case "run-cancelled":
      endRun(state, event.runId, effects, "cancelled", "cancelled", "cancelled");
      break;
  }
}

function newRun(runId: string): RunState {
  return {
    runId,
    phase: "preparing",
    gradientAccumulation: 0,
    totalSteps: 0,
    step: 1,
    group: [],
    groupComplete: false,
    stepping: false,
    ahead: [],
    deviceClass: undefined,
    lastServed: 0,
  };
}

function activeRun(state: PoolState, runId: string, phase: RunState["phase"]): RunState | undefined {
  return state.runs.find((run) => run.runId === runId && run.phase === phase);
}

const trainerOf = (state: PoolState, trainerId: string): TrainerState | undefined =>
  state.trainers.find((trainer) => trainer.trainerId === trainerId);

function beginStep(run: RunState, number: number): void {
  run.step = number;
  run.group = [];
  run.groupComplete = false;
  run.stepping = false;
}

/** Moves arrived micro-batches into the step that is being made, up to its last one. */
function fillGroup(run: RunState): void {
  while (!run.groupComplete && run.ahead.length > 0) {
    const lastOfEpoch = run.ahead.shift();
    run.group.push({ status: "waiting", attempts: 0 });
    run.groupComplete = lastOfEpoch === true || run.group.length === run.gradientAccumulation;
  }
}

/** Gives a trainer's unfinished micro-batches back; its other work is untouched (I3). */
function loseTrainer(state: PoolState, trainerId: string): void {
  for (const task of state.tasks.filter((candidate) => candidate.trainerId === trainerId)) release(state, task);
  state.trainers = state.trainers.filter((trainer) => trainer.trainerId !== trainerId);
}

/** The task is no longer in anybody's hands; its micro-batch waits again unless it is done. */
function release(state: PoolState, task: TaskState): void {
  state.tasks = state.tasks.filter(({ taskId }) => taskId !== task.taskId);
  const microBatch = microBatchOf(state, task);
  if (microBatch?.status === "assigned") microBatch.status = "waiting";
}

function microBatchOf(state: PoolState, { runId, step: number, microBatch }: Omit<TaskState, "taskId" | "trainerId">) {
  const run = activeRun(state, runId, "running");
  return run?.step === number ? run.group[microBatch] : undefined;
}

function takeResult(state: PoolState, event: Event & { type: "result-arrived" }, effects: Effect[]): void {
  const { runId, step: number, microBatch: index } = event;
  const microBatch = microBatchOf(state, event);
  if (!microBatch || microBatch.status === "done") {
    effects.push({ type: "drop-result", runId, step: number, microBatch: index });
    return;
  }
  microBatch.status = "done";
  const isSame = (task: TaskState) => task.runId === runId && task.step === number && task.microBatch === index;
  for (const { trainerId, taskId } of state.tasks.filter(isSame)) {
    if (taskId !== event.taskId) effects.push({ type: "cancel-task", trainerId, taskId });
  }
  state.tasks = state.tasks.filter((task) => !isSame(task));
  effects.push({ type: "accept-result", runId, step: number, microBatch: index });
  const run = activeRun(state, runId, "running");
  if (!run?.groupComplete || run.stepping || !run.group.every(({ status }) => status === "done")) return;
  run.stepping = true;
  effects.push({ type: "apply-step", runId, step: run.step });
}

function failTask(state: PoolState, event: Event & { type: "task-failed" }, effects: Effect[]): void {
  const task = state.tasks.find(({ taskId }) => taskId === event.taskId);
  if (!task) return;
  release(state, task);
  const attempts = microBatchOf(state, task)?.attempts ?? 0;
  if (event.permanent) {
    endRun(state, task.runId, effects, "failed", event.code, event.message);
  } else if (attempts >= MAX_ATTEMPTS) {
    const what = `step ${task.step}, micro-batch ${task.microBatch} failed on ${attempts} tries, last: ${event.message}`;
    endRun(state, task.runId, effects, "failed", event.code, what);
  }
}

function endRun(
  state: PoolState,
  runId: string,
  effects: Effect[],
  outcome: "completed" | "cancelled" | "failed",
  code: string,
  message: string,
): void {
  const run = state.runs.find((candidate) => candidate.runId === runId && candidate.phase !== "ended");
  if (!run) return;
  run.phase = "ended";
  beginStep(run, run.step);
  run.ahead = [];
  for (const { trainerId, taskId } of state.tasks.filter((task) => task.runId === runId)) {
    effects.push({ type: "cancel-task", trainerId, taskId });
  }
  state.tasks = state.tasks.filter((task) => task.runId !== runId);
  state.runs = state.runs.filter((candidate) => candidate !== run);
  effects.push({ type: "end-run", runId, outcome, code, message });
}

function assignTasks(state: PoolState, effects: Effect[]): void {
  for (;;) {
    const match = nextMatch(state);
    if (!match) return;
    const { run, trainer, microBatch } = match;
    const target = run.group[microBatch];
    if (!target) return;
    target.status = "assigned";
    target.attempts += 1;
    trainer.credits -= 1;
    run.deviceClass ??= trainer.deviceClass;
    run.lastServed = ++state.assignments;
    const { runId, step: number } = run;
    const taskId = `${runId}/${number}/${microBatch}/${target.attempts}`;
    const task: TaskState = { taskId, trainerId: trainer.trainerId, runId, step: number, microBatch };
    state.tasks.push(task);
    effects.push({ type: "assign", trainerId: trainer.trainerId, task });
  }
}

/** The least recently served run with waiting work that a free trainer may do, and the least busy such trainer. */
function nextMatch(state: PoolState): { run: RunState; trainer: TrainerState; microBatch: number } | undefined {
  const waiting = (run: RunState) => run.group.findIndex(({ status }) => status === "waiting");
  const ready = state.runs.filter((run) => run.phase === "running" && !run.stepping && waiting(run) >= 0);
  ready.sort((a, b) => a.lastServed - b.lastServed);
  const load = ({ trainerId }: TrainerState) => state.tasks.filter((task) => task.trainerId === trainerId).length;
  for (const run of ready) {
    const able = state.trainers.filter(
      ({ credits, deviceClass }) => credits > 0 && (run.deviceClass === undefined || run.deviceClass === deviceClass),
    );
    const [trainer] = able.sort((a, b) => load(a) - load(b));
    if (trainer) return { run, trainer, microBatch: waiting(run) };
  }
  return undefined;
}
