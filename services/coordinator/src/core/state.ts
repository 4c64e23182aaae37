/** What the coordinator's core knows. Plain data: it can be copied, compared, stored and simulated. */

/** A micro-batch of the step that a run is making. */
export interface MicroBatchState {
  readonly status: "waiting" | "assigned" | "done";
  /** Assignments so far. */
  readonly attempts: number;
  /** Of these, how many a trainer reported as failed. */
  readonly failures: number;
  /** Of these, how many ended with the loss of the trainer that computed it. */
  readonly losses: number;
}

export interface RunState {
  runId: string;
  /** A run that has ended is not here any more. */
  phase: "preparing" | "running" | "finishing";
  gradientAccumulation: number;
  totalSteps: number;
  /** Step being made, from 1. */
  step: number;
  /** Micro-batches of this step that have arrived from the data stream, by index. */
  group: MicroBatchState[];
  /** No further micro-batch belongs to this step. */
  groupComplete: boolean;
  /** The step's results are all in and the optimizer works. */
  stepping: boolean;
  /** Micro-batches that arrived for later steps: whether each ends its epoch. */
  ahead: boolean[];
  /** Class of the trainers that serve this run (I2); undefined while it has neither tasks nor results. */
  deviceClass: string | undefined;
  /** A result was accepted: the class stays. */
  hasResults: boolean;
  /** Value of `PoolState.assignments` when the run was last given a trainer. */
  lastServed: number;
}

export interface TrainerState {
  trainerId: string;
  deviceClass: string;
  /** Tasks it still has room for. */
  credits: number;
  lastSeenMs: number;
}

export interface TaskState {
  readonly taskId: string;
  readonly trainerId: string;
  readonly runId: string;
  readonly step: number;
  readonly microBatch: number;
}

export interface PoolState {
  /** In order of submission. */
  runs: RunState[];
  /** In order of joining. */
  trainers: TrainerState[];
  /** Micro-batches in trainers' hands, in order of assignment; a trainer computes its own in that order. */
  tasks: TaskState[];
  /** Tasks handed out so far. */
  assignments: number;
}

export const emptyPool = (): PoolState => ({ runs: [], trainers: [], tasks: [], assignments: 0 });

export type Event =
  | { type: "run-submitted"; runId: string }
  | { type: "run-prepared"; runId: string; gradientAccumulation: number; totalSteps: number }
  | { type: "micro-batch-arrived"; runId: string; lastOfEpoch: boolean }
  | { type: "trainer-joined"; trainerId: string; deviceClass: string; nowMs: number }
  | { type: "trainer-pulled"; trainerId: string; tasks: number; nowMs: number }
  | { type: "trainer-heard"; trainerId: string; nowMs: number }
  | { type: "trainer-left"; trainerId: string }
  | { type: "time-passed"; nowMs: number; leaseMs: number }
  | { type: "result-arrived"; taskId: string }
  | { type: "task-failed"; taskId: string; permanent: boolean; code: string; message: string }
  | { type: "step-applied"; runId: string }
  | { type: "run-finished"; runId: string }
  | { type: "run-failed"; runId: string; code: string; message: string }
  | { type: "run-cancelled"; runId: string };

export type Effect =
  /** Examine model and data, then report run-prepared. */
  | { type: "prepare"; runId: string }
  /** Stream micro-batches, reporting each. */
  | { type: "open-stream"; runId: string }
  | { type: "assign"; trainerId: string; task: TaskState }
  | { type: "cancel-task"; trainerId: string; taskId: string }
  /** Take the result into the step's sum, in the order of micro-batches (I1). */
  | { type: "accept-result"; task: TaskState }
  /** Late or doubled: nothing comes of it (I3). */
  | { type: "drop-result"; taskId: string }
  /** All results of the step are in: let the optimizer make it, then report step-applied. */
  | { type: "apply-step"; runId: string; step: number }
  /** Write the result, then report run-finished. */
  | { type: "finish"; runId: string }
  | { type: "end-run"; runId: string; outcome: "completed" | "cancelled" | "failed"; code: string; message: string }
  /** Silent for longer than its lease: close its connection. */
  | { type: "disconnect"; trainerId: string };
