/**
 * The coordinator's core: `step(state, event)` gives the next state and what is to be done. It has no
 * clock, randomness or I/O, so a seeded simulator can drive it through any history.
 *
 * It keeps:
 * - I1: a step is applied only when each of its micro-batches was accepted exactly once; their sum is
 *   taken by the caller in the order of micro-batches.
 * - I2: nothing here but order of work depends on trainers; a run stays with one device class.
 * - I3: a lost trainer's tasks go back to waiting and nothing else changes. A result counts while its
 *   task is in the hands of the trainer it was given to; any other is late or doubled, and dropped.
 * - I8, fairness: a free place goes to the run that was served least recently. So while a run has work
 *   waiting, any other is given at most one of the places that it could have had: with R runs, it is
 *   served by the R-th such place at the latest.
 */
import type { Effect, Event, MicroBatchState, PoolState, RunState, TaskState, TrainerState } from "./state.js";

/** Failures of one micro-batch with which its run fails. */
export const MAX_FAILURES = 3;
/** Trainers lost while they computed one micro-batch, with which its run fails: it may be what ends them. */
export const MAX_LOSSES = 10;
/** Results of a run that wait for an earlier one; while there are more, only that one is handed out. */
export const MAX_EARLY_RESULTS = 32;
/** Tasks that a trainer may hold. */
export const MAX_CREDITS = 16;

/** The state after `event`, and the effects to carry out, in order. `before` is left as it is. */
export function step(before: PoolState, event: Event): [PoolState, Effect[]] {
  const state = copyOf(before);
  const effects: Effect[] = [];
  apply(state, event, effects);
  assignTasks(state, effects);
  return [state, effects];
}

/** Micro-batches and tasks are replaced, never changed, so states share them: a step may have thousands. */
function copyOf({ runs, trainers, tasks, assignments }: PoolState): PoolState {
  return {
    runs: runs.map((run) => ({ ...run, group: [...run.group], ahead: [...run.ahead] })),
    trainers: trainers.map((trainer) => ({ ...trainer })),
    tasks: [...tasks],
    assignments,
  };
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
      loseTrainer(state, event.trainerId, effects);
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
      trainer.credits = Math.min(trainer.credits + event.tasks, MAX_CREDITS);
      trainer.lastSeenMs = event.nowMs;
      break;
    }
    case "trainer-heard": {
      const trainer = trainerOf(state, event.trainerId);
      if (trainer) trainer.lastSeenMs = event.nowMs;
      break;
    }
    case "trainer-left":
      loseTrainer(state, event.trainerId, effects);
      break;
    case "time-passed":
      for (const { trainerId, lastSeenMs } of [...state.trainers]) {
        if (event.nowMs - lastSeenMs <= event.leaseMs) continue;
        loseTrainer(state, trainerId, effects);
        effects.push({ type: "disconnect", trainerId });
      }
      break;
    case "result-arrived":
      takeResult(state, event.taskId, effects);
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
    hasResults: false,
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
    run.group.push({ status: "waiting", attempts: 0, failures: 0, losses: 0 });
    run.groupComplete = lastOfEpoch === true || run.group.length === run.gradientAccumulation;
  }
}

/**
 * Gives a trainer's unfinished micro-batches back; its other work is untouched (I3). The first of them
 * was being computed, so it alone may have been the reason.
 */
function loseTrainer(state: PoolState, trainerId: string, effects: Effect[]): void {
  const lost = state.tasks.filter((task) => task.trainerId === trainerId);
  state.trainers = state.trainers.filter((trainer) => trainer.trainerId !== trainerId);
  for (const task of lost) release(state, task);
  const [computed] = lost;
  const losses = computed && change(state, computed, ({ losses: before }) => ({ losses: before + 1 }))?.losses;
  if (!losses || losses < MAX_LOSSES) return;
  const what = `${placeOf(computed)}: ${MAX_LOSSES} trainers were lost while they computed it`;
  const advice = "if they ran out of memory, lower batch_size or max_length";
  endRun(state, computed.runId, effects, "failed", "resource_exhausted", `${what}; ${advice}`);
}

/** The task is no longer in anybody's hands; its micro-batch waits again. */
function release(state: PoolState, task: TaskState): void {
  state.tasks = state.tasks.filter((other) => other !== task);
  change(state, task, () => ({ status: "waiting" }));
  const run = activeRun(state, task.runId, "running");
  if (run && !run.hasResults && !state.tasks.some(({ runId }) => runId === run.runId)) run.deviceClass = undefined;
}

/** Changes the micro-batch of a task, and gives it as it is then; undefined when its step or run is over. */
function change(
  state: PoolState,
  task: TaskState,
  changes: (before: MicroBatchState) => Partial<MicroBatchState>,
): MicroBatchState | undefined {
  const run = activeRun(state, task.runId, "running");
  const before = run?.step === task.step ? run.group[task.microBatch] : undefined;
  if (!run || !before) return undefined;
  const after = { ...before, ...changes(before) };
  run.group[task.microBatch] = after;
  return after;
}

const placeOf = ({ step: number, microBatch }: TaskState) => `step ${number}, micro-batch ${microBatch}`;

function takeResult(state: PoolState, taskId: string, effects: Effect[]): void {
  const task = state.tasks.find((candidate) => candidate.taskId === taskId);
  const run = task && activeRun(state, task.runId, "running");
  if (!run || !change(state, task, () => ({ status: "done" }))) {
    effects.push({ type: "drop-result", taskId });
    return;
  }
  state.tasks = state.tasks.filter((other) => other !== task);
  run.hasResults = true;
  effects.push({ type: "accept-result", task });
  if (!run.groupComplete || !run.group.every(({ status }) => status === "done")) return;
  run.stepping = true;
  effects.push({ type: "apply-step", runId: run.runId, step: run.step });
}

function failTask(state: PoolState, event: Event & { type: "task-failed" }, effects: Effect[]): void {
  const task = state.tasks.find(({ taskId }) => taskId === event.taskId);
  if (!task) return;
  release(state, task);
  const failures = change(state, task, ({ failures: before }) => ({ failures: before + 1 }))?.failures ?? 0;
  if (event.permanent) {
    endRun(state, task.runId, effects, "failed", event.code, event.message);
  } else if (failures >= MAX_FAILURES) {
    const what = `${placeOf(task)} failed ${MAX_FAILURES} times, at last: ${event.message}`;
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
  const run = state.runs.find((candidate) => candidate.runId === runId);
  if (!run) return;
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
    const before = run.group[microBatch] as MicroBatchState;
    const attempts = before.attempts + 1;
    run.group[microBatch] = { ...before, status: "assigned", attempts };
    trainer.credits -= 1;
    run.deviceClass ??= trainer.deviceClass;
    run.lastServed = ++state.assignments;
    const { runId, step: number } = run;
    const taskId = `${runId}/${number}/${microBatch}/${attempts}`;
    const task: TaskState = { taskId, trainerId: trainer.trainerId, runId, step: number, microBatch };
    state.tasks.push(task);
    effects.push({ type: "assign", trainerId: trainer.trainerId, task });
  }
}

/** The least recently served run with work to hand out that a free trainer may do, and the least busy such trainer. */
function nextMatch(state: PoolState): { run: RunState; trainer: TrainerState; microBatch: number } | undefined {
  const free = state.trainers.filter(({ credits }) => credits > 0);
  if (free.length === 0) return undefined;
  const load = ({ trainerId }: TrainerState) => state.tasks.filter((task) => task.trainerId === trainerId).length;
  free.sort((a, b) => load(a) - load(b));
  for (const run of [...state.runs].sort((a, b) => a.lastServed - b.lastServed)) {
    const microBatch = nextMicroBatch(run);
    const trainer = free.find(({ deviceClass }) => run.deviceClass === undefined || run.deviceClass === deviceClass);
    if (trainer && microBatch !== undefined) return { run, trainer, microBatch };
  }
  return undefined;
}

/** The micro-batch to hand out next: the first that waits, unless too many results wait for an earlier one. */
export function nextMicroBatch(run: RunState): number | undefined {
  if (run.phase !== "running" || run.stepping) return undefined;
  const waiting = run.group.findIndex(({ status }) => status === "waiting");
  if (waiting < 0) return undefined;
  const open = run.group.findIndex(({ status }) => status !== "done");
  const early = run.group.slice(open, waiting).filter(({ status }) => status === "done").length;
  return early < MAX_EARLY_RESULTS ? waiting : undefined;
}
