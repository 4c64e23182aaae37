/** Micro-batches in trainers' hands: how they come back, done, failed or lost. */
import { endRun } from "./runs.js";
import { changeTrainer, hasUntried, isActive, placeOf, runOf, tasksOf, trainerOf } from "./lookup.js";
import type { TrainerLoss } from "./facts.js";
import type { Output } from "./effects.js";
import type { Input, MicroBatchState, PoolState, PoolTrainer, Refusal, SignOfLife, Task } from "./state.js";

/** The run fails after this many failures of one micro-batch. */
export const MAX_FAILURES = 3;
/** The run fails after this many trainers were lost computing one micro-batch: it may be what kills them. */
export const MAX_LOSSES = 10;
/** A trainer is quarantined after this many failures in a row, if another can take over. */
export const MAX_TRAINER_FAILURES = 3;
export const QUARANTINE_MS = 60_000;
/** A micro-batch is late when it takes this many times as long as the run's usually do, and at least this long. */
export const LATE_FACTOR = 4;
export const MIN_LATE_MS = 5_000;
/** "Usually" counts once this many micro-batches were measured; the weight of the newest. */
export const MIN_TURNS = 3;
const NEWEST_WEIGHT = 0.2;
/** What a trainer computes that is stuck in a task of another coordinator. */
const ELSEWHERE = "elsewhere";
const NO_QUARANTINE = { quarantinedUntilMs: 0, quarantineReason: "", stuckIn: "" };

export function takeResult(state: PoolState, input: Input & { type: "result-arrived" }, out: Output): void {
  const { taskId, result } = input;
  const task = state.tasks.find((candidate) => candidate.taskId === taskId);
  const before = task && microBatchOf(state, task);
  if (!task || !before || before.status === "done") {
    out.effects.push({ type: "drop-result", taskId });
    return;
  }
  const { doubt } = result;
  const run = runOf(state, task.runId);
  if (doubt !== undefined && run && hasUntried(state, run, [...before.failedOn, task.trainerId])) {
    release(state, task);
    out.facts.push({ type: "task-failed", task, code: "data_loss", message: doubt });
    out.effects.push({ type: "drop-result", taskId });
    return refuse(state, task, doubt);
  }
  change(state, task, { status: "done" });
  learn(state, task);
  removeTask(state, task);
  changeTrainer(state, task.trainerId, { failures: 0 });
  out.facts.push({ type: "task-accepted", task, result });
  out.effects.push({ type: "accept-result", task, result });
  // The first answer counts: another trainer that has it may drop it.
  for (const other of state.tasks.filter((candidate) => isSamePlace(candidate, task))) cancelTask(state, other, out);
  if (doubt === undefined) for (const refusal of before.refusals) disprove(state, refusal, task, out);
  if (!run) return;
  run.hasResults = true;
  if (!run.groupComplete || !run.group.every(({ status }) => status === "done")) return;
  run.stepping = true;
  const { runId, step, evaluating } = run;
  out.effects.push({ type: evaluating ? "apply-evaluation" : "apply-step", runId, step });
}

export function failTask(state: PoolState, input: Input & { type: "task-failed" }, out: Output): void {
  const task = state.tasks.find(({ taskId }) => taskId === input.taskId);
  if (!task) return;
  const { permanent, code, message } = input;
  release(state, task);
  out.facts.push({ type: "task-failed", task, code, message });
  // Returned by a trainer that stops.
  if (code === "cancelled") return;
  const before = microBatchOf(state, task);
  const run = runOf(state, task.runId);
  if (permanent) {
    const failedOn = [...(before?.failedOn ?? []), task.trainerId];
    const isFirst = before?.refusals.length === 0 && run !== undefined && hasUntried(state, run, failedOn);
    return isFirst ? refuse(state, task, message) : endRun(state, task.runId, out, "failed", code, message);
  }
  blame(state, task.trainerId, message, out);
  const failedOn = [...(before?.failedOn ?? []), task.trainerId];
  change(state, task, { failedOn });
  if (failuresOf(microBatchOf(state, task)) < MAX_FAILURES) return;
  const what = `${placeOf(task)} failed ${MAX_FAILURES} times, most recently: ${message}`;
  endRun(state, task.runId, out, "failed", code, what);
}

/** Refusals are judged apart. */
const failuresOf = (microBatch: MicroBatchState | undefined): number =>
  microBatch ? microBatch.failedOn.length - microBatch.refusals.length : 0;

/** Another trainer is to try, before it is believed. */
function refuse(state: PoolState, task: Task, message: string): void {
  const { trainerId } = task;
  const before = microBatchOf(state, task);
  if (!before) return;
  const failedOn = [...before.failedOn, trainerId];
  change(state, task, { failedOn, refusals: [...before.refusals, { trainerId, message }] });
}

/** Another trainer computed what it refused. */
function disprove(state: PoolState, { trainerId, message }: Refusal, task: Task, out: Output): void {
  if (trainerId === task.trainerId) return;
  changeTrainer(state, trainerId, { failures: MAX_TRAINER_FAILURES });
  const reason = `it refused ${placeOf(task)}, which ${task.trainerId} computed: ${message}`;
  quarantine(state, trainerId, state.nowMs + QUARANTINE_MS, reason, out);
}

/**
 * Returns a trainer's unfinished micro-batches; its other work is untouched (I3). The first of them
 * was being computed, so it alone may have been the reason.
 */
export function loseTrainer(state: PoolState, trainerId: string, how: TrainerLoss, out: Output): void {
  if (!trainerOf(state, trainerId)) return;
  const lost = tasksOf(state, trainerId);
  for (const task of lost) release(state, task);
  state.trainers = state.trainers.filter((trainer) => trainer.trainerId !== trainerId);
  out.facts.push({ type: "trainer-lost", trainerId, how, tasks: lost });
  const [computed] = lost;
  if (!computed) return;
  const advice = "if they ran out of memory, lower batch_size, max_length or pass_tokens";
  countLoss(state, computed, `${MAX_LOSSES} trainers were lost while they computed it; ${advice}`, out);
}

/** Ends the run with `reason` when the micro-batch was lost too often. */
function countLoss(state: PoolState, task: Task, reason: string, out: Output): void {
  const before = microBatchOf(state, task);
  if (!before) return;
  const losses = before.losses + 1;
  change(state, task, { losses });
  if (losses < MAX_LOSSES) return;
  endRun(state, task.runId, out, "failed", "resource_exhausted", `${placeOf(task)}: ${reason}`);
}

/** Returns the run's tasks and cancels them on their trainers. */
export function recallTasks(state: PoolState, runId: string, out: Output): void {
  for (const task of state.tasks.filter((candidate) => candidate.runId === runId)) cancelTask(state, task, out);
}

/** Marks late micro-batches, and ends quarantines that lasted long enough. */
export function noticeTime(state: PoolState, out: Output): void {
  for (const trainer of state.trainers) {
    if (trainer.quarantinedUntilMs > 0 && trainer.quarantinedUntilMs <= state.nowMs) pardon(state, trainer, out);
  }
  const busy = new Set(state.tasks.map(({ trainerId }) => trainerId));
  for (const trainer of state.trainers) if (busy.has(trainer.trainerId)) endIfStuck(state, trainer, out);
  const late = lateTasks(state);
  // If another trainer has it already, that one must be late, too.
  const isLateEverywhere = (task: Task) =>
    state.tasks.every((other) => !isSamePlace(other, task) || late.includes(other));
  for (const task of late) if (isLateEverywhere(task)) change(state, task, { late: true });
}

/**
 * One that sends heartbeats and no result, as with a stuck device, is given nothing more until it computes something
 * else. One that says that it computes nothing is fetching or sending, or has lost the task: the micro-batch is not the
 * reason, so others get it, and it gets work again after a while.
 */
function endIfStuck(state: PoolState, trainer: PoolTrainer, out: Output): void {
  const { trainerId, busySinceMs, computing, computingSinceMs } = trainer;
  // It may have begun with its first task late, after one that was taken from it.
  const silentMs = state.nowMs - Math.max(busySinceMs, computingSinceMs);
  if (trainer.stuckIn !== "" || !state.runs.some(({ longestTurnMs }) => silentMs > longestTurnMs)) return;
  const held = tasksOf(state, trainerId);
  const [task] = held;
  const run = task && runOf(state, task.runId);
  if (!run || silentMs <= run.longestTurnMs) return;
  const seconds = Math.round(silentMs / 1000);
  const silence = `${trainerId} gave no result of ${placeOf(task)} in ${seconds} s`;
  const before = microBatchOf(state, task);
  for (const other of held) cancelTask(state, other, out);
  if (computing === "") {
    const reason = `${silence} and computes nothing; its network may be slow`;
    quarantine(state, trainerId, state.nowMs + QUARANTINE_MS, reason, out);
    return countLoss(
      state,
      task,
      `it was given out ${MAX_LOSSES} times without a result, most recently: ${reason}`,
      out,
    );
  }
  const reason = `${silence}; its device may be stuck: restart it`;
  changeTrainer(state, trainerId, { stuckIn: computing });
  quarantine(state, trainerId, Number.MAX_SAFE_INTEGER, reason, out);
  // It may still be in one that was taken from it: then this one is not the reason.
  if (computing !== task.taskId || !before) return;
  change(state, task, { failedOn: [...before.failedOn, trainerId] });
  if (failuresOf(microBatchOf(state, task)) < MAX_FAILURES) return;
  const what = `${placeOf(task)} was not computed by ${MAX_FAILURES} trainers, most recently: ${reason}`;
  endRun(state, task.runId, out, "failed", "deadline_exceeded", what);
}

/** A sign of life that says nothing of what the trainer computes changes nothing. */
export function noticeSign(state: PoolState, trainer: PoolTrainer, sign: SignOfLife, out: Output): void {
  const { tasksElsewhere = 0, waiting = false, stuckElsewhere = false } = sign;
  const computing = stuckElsewhere ? ELSEWHERE : sign.computing;
  if (computing === undefined) return;
  const { trainerId, stuckIn } = trainer;
  if (tasksElsewhere !== trainer.tasksElsewhere) changeTrainer(state, trainerId, { tasksElsewhere });
  if (computing !== trainer.computing) changeTrainer(state, trainerId, { computing, computingSinceMs: state.nowMs });
  // Time that it gives to others is no fault of its own, nor of the task.
  if (waiting) changeTrainer(state, trainerId, { busySinceMs: state.nowMs });
  if (stuckElsewhere && stuckIn === "") leaveToOthers(state, trainerId, out);
  if (stuckIn !== "" && computing !== stuckIn) pardon(state, trainer, out);
}

/** Its device may be stuck in a task of another coordinator: it is given nothing until it computes something else. */
function leaveToOthers(state: PoolState, trainerId: string, out: Output): void {
  for (const task of tasksOf(state, trainerId)) cancelTask(state, task, out);
  const reason = "it takes too long for a micro-batch of another coordinator; its device may be stuck: restart it";
  changeTrainer(state, trainerId, { stuckIn: ELSEWHERE });
  quarantine(state, trainerId, Number.MAX_SAFE_INTEGER, reason, out);
}

/** A trainer computes its tasks one after the other: the second may take twice as long. */
function lateTasks(state: PoolState): Task[] {
  const runs = new Map(state.runs.map((run) => [run.runId, run]));
  const trainers = new Map(state.trainers.map((trainer) => [trainer.trainerId, trainer]));
  const turns = new Map<string, number>();
  return state.tasks.filter(({ runId, trainerId }) => {
    const turn = (turns.get(trainerId) ?? 0) + 1;
    turns.set(trainerId, turn);
    const [run, trainer] = [runs.get(runId), trainers.get(trainerId)];
    if (!run || !trainer || run.turns < MIN_TURNS) return false;
    return state.nowMs - trainer.busySinceMs > turn * Math.max(MIN_LATE_MS, LATE_FACTOR * run.turnMs);
  });
}

/** Ends a quarantine; the trainer's next failure sends it back at once. */
function pardon(state: PoolState, { trainerId, draining }: PoolTrainer, out: Output): void {
  changeTrainer(state, trainerId, { ...NO_QUARANTINE, failures: MAX_TRAINER_FAILURES - 1 });
  if (!draining) out.facts.push({ type: "trainer-active", trainerId });
}

/** By request. Undraining also clears the trainer's failures. */
export function drain(state: PoolState, trainer: PoolTrainer, draining: boolean, out: Output): void {
  const { trainerId } = trainer;
  changeTrainer(state, trainerId, { draining });
  if (draining && !trainer.draining) out.facts.push({ type: "trainer-drained", trainerId });
  if (draining) return;
  changeTrainer(state, trainerId, { ...NO_QUARANTINE, failures: 0 });
  if (!isActive(trainer)) out.facts.push({ type: "trainer-active", trainerId });
}

export function addTask(state: PoolState, task: Task): void {
  if (tasksOf(state, task.trainerId).length === 0) changeTrainer(state, task.trainerId, { busySinceMs: state.nowMs });
  state.tasks.push(task);
}

/** The micro-batch of a task; undefined when its step or run has ended. */
function microBatchOf(state: PoolState, task: Task): MicroBatchState | undefined {
  const run = runOf(state, task.runId);
  const isCurrent = run?.phase === "running" && run.step === task.step && run.evaluating === task.evaluation;
  return isCurrent ? run.group[task.microBatch] : undefined;
}

function change(state: PoolState, task: Task, changes: Partial<MicroBatchState>): void {
  const before = microBatchOf(state, task);
  const run = runOf(state, task.runId);
  if (run && before) run.group[task.microBatch] = { ...before, ...changes };
}

const isSamePlace = (a: Task, b: Task): boolean =>
  a.runId === b.runId && a.step === b.step && a.evaluation === b.evaluation && a.microBatch === b.microBatch;

/** The trainer's first task starts now. */
function removeTask(state: PoolState, task: Task): void {
  if (tasksOf(state, task.trainerId)[0] === task) changeTrainer(state, task.trainerId, { busySinceMs: state.nowMs });
  state.tasks = state.tasks.filter((other) => other !== task);
}

/** Its trainer no longer has the task; if none has, its micro-batch waits again. */
function release(state: PoolState, task: Task): void {
  removeTask(state, task);
  const isOut = state.tasks.some((other) => isSamePlace(other, task));
  if (!isOut && microBatchOf(state, task)?.status === "assigned")
    change(state, task, { status: "waiting", late: false, waitsSinceMs: state.nowMs });
  const run = runOf(state, task.runId);
  if (run && !run.hasResults && !state.tasks.some(({ runId }) => runId === run.runId)) run.deviceClass = undefined;
}

function cancelTask(state: PoolState, task: Task, out: Output): void {
  release(state, task);
  out.facts.push({ type: "task-cancelled", task });
  out.effects.push({ type: "cancel-task", trainerId: task.trainerId, taskId: task.taskId });
}

/** Quarantines a trainer that keeps failing, so that it does not fail run after run; not the last of its class. */
function blame(state: PoolState, trainerId: string, reason: string, out: Output): void {
  const trainer = trainerOf(state, trainerId);
  if (!trainer) return;
  const failures = trainer.failures + 1;
  changeTrainer(state, trainerId, { failures });
  const others = state.trainers.filter((other) => other.trainerId !== trainerId && isActive(other));
  if (failures < MAX_TRAINER_FAILURES || !others.some((other) => other.deviceClass === trainer.deviceClass)) return;
  const because = `it failed ${MAX_TRAINER_FAILURES} times in a row, most recently: ${reason}`;
  quarantine(state, trainerId, state.nowMs + QUARANTINE_MS, because, out);
}

function quarantine(state: PoolState, trainerId: string, untilMs: number, reason: string, out: Output): void {
  const before = trainerOf(state, trainerId);
  changeTrainer(state, trainerId, { quarantinedUntilMs: untilMs, quarantineReason: reason });
  if (before?.quarantinedUntilMs === 0) out.facts.push({ type: "trainer-quarantined", trainerId, reason });
}

/** Learns from how long the trainer computed; evaluations are quicker and do not count. */
function learn(state: PoolState, task: Task): void {
  const run = runOf(state, task.runId);
  const trainer = trainerOf(state, task.trainerId);
  if (!run || !trainer || task.evaluation || tasksOf(state, task.trainerId)[0] !== task) return;
  const turnMs = state.nowMs - trainer.busySinceMs;
  run.turnMs = run.turns === 0 ? turnMs : run.turnMs + NEWEST_WEIGHT * (turnMs - run.turnMs);
  run.turns += 1;
}
