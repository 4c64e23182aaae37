/**
 * Who computes what next. I8: a free place goes to the run that was served least recently. So while a run
 * has work waiting, any other is given at most one of the places that it could have had: with R runs, it is
 * served by the R-th such place at the latest. Only places that no run has waiting work for go to
 * micro-batches that are late elsewhere.
 */
import { canServe, changeTrainer, hasUntried, isActive, isResting } from "./lookup.js";
import type { Output } from "./effects.js";
import type { MicroBatchState, PoolRun, PoolState, PoolTrainer, Task } from "./state.js";
import { isUnderWay } from "./stopping.js";
import { addTask } from "./tasks.js";

/** Results of a run that wait for an earlier one; while there are more, only that one is handed out. */
export const MAX_EARLY_RESULTS = 32;

interface Match {
  run: PoolRun;
  trainer: PoolTrainer;
  microBatch: number;
}

export function assignTasks(state: PoolState, out: Output): void {
  while (state.trainers.some(isFree)) {
    const match = nextMatch(state, waitingIn) ?? nextMatch(state, lateIn);
    if (!match) return;
    const { run, trainer, microBatch } = match;
    const before = run.group[microBatch] as MicroBatchState;
    const attempts = before.attempts + 1;
    run.group[microBatch] = { ...before, status: "assigned", late: false, attempts };
    changeTrainer(state, trainer.trainerId, { credits: trainer.credits - 1 });
    run.deviceClass ??= trainer.deviceClass;
    run.lastServed = ++state.assignments;
    const { runId, step, evaluating: evaluation } = run;
    const taskId = `${runId}/${evaluation ? "eval-" : ""}${step}/${microBatch}/${state.life}.${attempts}${trainer.nonce}`;
    const { trainerId, deviceClass } = trainer;
    const task: Task = { taskId, trainerId, runId, step, microBatch, evaluation };
    addTask(state, task);
    const waitedMs = state.nowMs - before.waitsSinceMs;
    out.facts.push({ type: "task-assigned", task, attempt: attempts, deviceClass, waitedMs });
    out.effects.push({ type: "assign", trainerId, task });
  }
}

/** The least recently served run with such work that a free trainer may do, and the least busy such trainer. */
function nextMatch(state: PoolState, candidates: (run: PoolRun) => number[]): Match | undefined {
  let free: PoolTrainer[] | undefined;
  for (const run of state.runs.filter(isMaking).sort((a, b) => a.lastServed - b.lastServed)) {
    if (state.stopping && !isUnderWay(run)) continue;
    for (const microBatch of candidates(run)) {
      free ??= freeTrainers(state);
      const trainer = free.find((one) => canServe(run, one) && mayCompute(state, one, run, microBatch));
      if (trainer) return { run, trainer, microBatch };
    }
  }
  return undefined;
}

/** The least busy one first. */
function freeTrainers({ trainers, tasks }: PoolState): PoolTrainer[] {
  const free = trainers.filter(isFree);
  if (free.length < 2) return free;
  const loads = new Map<string, number>();
  for (const { trainerId } of tasks) loads.set(trainerId, (loads.get(trainerId) ?? 0) + 1);
  const load = ({ trainerId, tasksElsewhere }: PoolTrainer) => (loads.get(trainerId) ?? 0) + tasksElsewhere;
  return free.sort((a, b) => load(a) - load(b));
}

const isFree = (trainer: PoolTrainer): boolean => trainer.credits > 0 && isActive(trainer);

/** No trainer gets a micro-batch that it has, nor one that it failed while another has not tried. */
function mayCompute(state: PoolState, trainer: PoolTrainer, run: PoolRun, microBatch: number): boolean {
  const holds = (task: Task) =>
    task.trainerId === trainer.trainerId &&
    task.runId === run.runId &&
    task.step === run.step &&
    task.evaluation === run.evaluating &&
    task.microBatch === microBatch;
  if (state.tasks.some(holds)) return false;
  const failedOn = run.group[microBatch]?.failedOn ?? [];
  return !failedOn.includes(trainer.trainerId) || !hasUntried(state, run, failedOn);
}

/** Micro-batches of the run that wait for a trainer, as far as they may be handed out now. */
export function waitingIn(run: PoolRun): number[] {
  if (!isMaking(run)) return [];
  const open = run.group.findIndex(({ status }) => status !== "done");
  let early = 0;
  const waiting: number[] = [];
  for (let i = Math.max(0, open); i < run.group.length && (i === open || early < MAX_EARLY_RESULTS); i++) {
    const { status } = run.group[i] as MicroBatchState;
    if (status === "waiting") waiting.push(i);
    if (status === "done") early += 1;
  }
  return waiting;
}

function lateIn(run: PoolRun): number[] {
  const late: number[] = [];
  run.group.forEach((microBatch, i) => {
    if (microBatch.late && microBatch.status === "assigned") late.push(i);
  });
  return late;
}

const isMaking = (run: PoolRun): boolean => run.phase === "running" && !run.stepping && !isResting(run);
