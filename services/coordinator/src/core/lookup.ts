import type { PoolRun, PoolState, PoolTrainer, Task } from "./state.js";

export const runOf = (state: PoolState, runId: string): PoolRun | undefined =>
  state.runs.find((run) => run.runId === runId);

export const copyOfRun = (run: PoolRun): PoolRun => ({ ...run, group: [...run.group], ahead: [...run.ahead] });

/** A run of this state alone, also while it is in the queue, where states share it. */
export function runToChange(state: PoolState, runId: string): PoolRun | undefined {
  const place = state.runs.findIndex((run) => run.runId === runId);
  const run = state.runs[place];
  return run?.phase === "queued" ? (state.runs[place] = copyOfRun(run)) : run;
}

export const trainerOf = (state: PoolState, trainerId: string): PoolTrainer | undefined =>
  state.trainers.find((trainer) => trainer.trainerId === trainerId);

/** States share the trainers that nothing happens to: there may be thousands. */
export function changeTrainer(state: PoolState, trainerId: string, changes: Partial<PoolTrainer>): void {
  const place = state.trainers.findIndex((trainer) => trainer.trainerId === trainerId);
  const before = state.trainers[place];
  if (before) state.trainers[place] = { ...before, ...changes };
}

/** A trainer's tasks, the one that it computes first. */
export const tasksOf = (state: PoolState, trainerId: string): Task[] =>
  state.tasks.filter((task) => task.trainerId === trainerId);

export const isResting = ({ paused, trouble }: PoolRun): boolean => paused || trouble !== "";

/** Whether a trainer may be given work at all, now or later. */
export const isActive = ({ draining, quarantinedUntilMs }: PoolTrainer): boolean =>
  !draining && quarantinedUntilMs === 0;

export const isProcessor = ({ deviceClass }: Pick<PoolTrainer, "deviceClass">): boolean =>
  deviceClass.startsWith("cpu");

/** I2: results of one run come from one class of devices. */
export const isOfClass = (
  run: Pick<PoolRun, "deviceClass" | "onProcessors">,
  trainer: Pick<PoolTrainer, "deviceClass">,
): boolean =>
  run.deviceClass === undefined ? !run.onProcessors || isProcessor(trainer) : run.deviceClass === trainer.deviceClass;

/** Whether it may have the memory that the run's micro-batches take at the least. */
export const hasMemory = ({ leastBytes }: PoolRun, { memoryBytes }: PoolTrainer): boolean =>
  memoryBytes === 0 || leastBytes <= memoryBytes;

/** Whether it may have a buffer for their largest tensor. */
export const hasBuffer = ({ largestTensor }: PoolRun, { largestBufferBytes }: PoolTrainer): boolean =>
  largestBufferBytes === 0 || largestTensor.bytes <= largestBufferBytes;

/** Whether it can serve the run at all. */
export const canServe = (run: PoolRun, trainer: PoolTrainer): boolean =>
  isOfClass(run, trainer) && hasMemory(run, trainer) && hasBuffer(run, trainer);

/** Whether a trainer could compute a micro-batch that has not failed on it. */
export const hasUntried = (state: PoolState, run: PoolRun, failedOn: readonly string[]): boolean =>
  state.trainers.some((other) => isActive(other) && canServe(run, other) && !failedOn.includes(other.trainerId));

export const placeOf = ({ step, microBatch, evaluation }: Task): string =>
  `${evaluation ? "evaluation after " : ""}step ${step}, micro-batch ${microBatch}`;
