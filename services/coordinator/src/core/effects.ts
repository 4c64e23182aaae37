/** What the core wants to be done. */
import type { PoolFact } from "./facts.js";
import type { Outcome, Task, TaskResult } from "./state.js";

/** To be carried out once the facts are recorded. */
export type Effect =
  /** Examine model, data and what was saved, then report run-prepared. */
  | { type: "prepare"; runId: string }
  /** Stream micro-batches, reporting each. */
  | { type: "open-stream"; runId: string }
  /** Retry at once what trouble holds up. */
  | { type: "retry"; runId: string }
  | { type: "assign"; trainerId: string; task: Task }
  | { type: "cancel-task"; trainerId: string; taskId: string }
  /** Take the result into the step's sum, in the order of micro-batches (I1). */
  | { type: "accept-result"; task: Task; result: TaskResult }
  /** Late or duplicate: it is ignored (I3). */
  | { type: "drop-result"; taskId: string }
  /** All results of the step are in: run the optimizer, then report step-applied. */
  | { type: "apply-step"; runId: string; step: number }
  /** Stream the held-out micro-batches, reporting each. */
  | { type: "open-evaluation"; runId: string; step: number }
  /** All results of the evaluation are in: record it, then report evaluation-applied. */
  | { type: "apply-evaluation"; runId: string; step: number }
  /** Write the result, then report run-finished. */
  | { type: "finish"; runId: string }
  /** Stop its work, release its output folder, and record that it ended. */
  | { type: "end-run"; runId: string; outcome: Outcome; code: string; message: string }
  /** Another coordinator is to have it: keep nothing of it. */
  | { type: "give-up-run"; runId: string }
  /** Stopping, and nothing left in progress can be finished. */
  | { type: "pool-quiet" }
  /** Silent for longer than its lease: close its connection. */
  | { type: "disconnect"; trainerId: string };

/** The outcome of an input: what changed, and what to do; each in order. */
export interface Output {
  readonly facts: PoolFact[];
  readonly effects: Effect[];
}

/** Of effects: those that are messages to trainers, and those that a prepared run carries out. */
export type TrainerEffect = Extract<Effect, { type: "assign" | "cancel-task" | "disconnect" }>;
export type TrainingEffect = Exclude<
  Effect,
  TrainerEffect | { type: "prepare" | "retry" | "drop-result" | "end-run" | "give-up-run" | "pool-quiet" }
>;
