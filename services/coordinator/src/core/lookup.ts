import type { PoolState, RunState, TaskState, TrainerState } from "./state.js";

export const runOf = (state: PoolState, runId: string): RunState | undefined =>
  state.runs.find((run) => run.runId === runId);

export const trainerOf = (state: PoolState, trainerId: string): TrainerState | undefined =>
  state.trainers.find((trainer) => trainer.trainerId === trainerId);

/** A trainer's tasks, the one that it computes first. */
export const tasksOf = (state: PoolState, trainerId: string): TaskState[] =>
  state.tasks.filter((task) => task.trainerId === trainerId);

export const isResting = ({ paused, trouble }: RunState): boolean => paused || trouble !== "";

/** Whether a trainer may be given work at all, now or later. */
export const isActive = ({ draining, quarantinedUntilMs }: TrainerState): boolean =>
  !draining && quarantinedUntilMs === 0;

export const placeOf = ({ step, microBatch, evaluation }: TaskState): string =>
  `${evaluation ? "evaluation behind " : ""}step ${step}, micro-batch ${microBatch}`;
