/**
 * What an input changed, for all that record or report it: the run store, run logs, events, traces and
 * metrics are made from facts and see nothing else of the core.
 */
import type { Outcome, Task, TaskResult, VisibleState } from "./state.js";

/** Why a trainer is no longer in the pool. */
export type TrainerLoss = "left" | "silent" | "replaced";

export type PoolFact =
  /** What people see of where a run is. To be recorded durably before any effect of the input is carried out (I4). */
  | { type: "run-state"; runId: string; state: VisibleState; because: string }
  /** The run is no longer in the pool; it counts as ended once its output folder is free. */
  | { type: "run-over"; runId: string; outcome: Outcome }
  /** It waited in the queue, and another coordinator is to have it. */
  | { type: "run-given-up"; runId: string }
  /** Its data is enough for fewer steps than planned. */
  | { type: "run-shortened"; runId: string; totalSteps: number }
  /** From now on trainers may be given the micro-batches of this step, or of this evaluation. */
  | { type: "group-opened"; runId: string; step: number; evaluation: boolean }
  /** The group is done, or its run is paused or has ended. */
  | { type: "group-closed"; runId: string }
  /** `attempt`: from 1. `waitedMs`: since it could have been handed out. */
  | { type: "task-assigned"; task: Task; attempt: number; deviceClass: string; waitedMs: number }
  | { type: "task-accepted"; task: Task; result: TaskResult }
  | { type: "task-cancelled"; task: Task }
  | { type: "task-failed"; task: Task; code: string; message: string }
  | { type: "trainer-joined"; trainerId: string; deviceClass: string }
  /** `tasks`: what it had in hand. */
  | { type: "trainer-lost"; trainerId: string; how: TrainerLoss; tasks: readonly Task[] }
  | { type: "trainer-drained"; trainerId: string }
  | { type: "trainer-quarantined"; trainerId: string; reason: string }
  /** The coordinator stops in order: no run is the reason. */
  | { type: "pool-stopping" }
  /** It is given work again after draining or quarantine. */
  | { type: "trainer-active"; trainerId: string };

export type TaskFact = Extract<PoolFact, { task: Task }>;
