/** What the coordinator's core knows. Plain data: it can be copied, compared, stored and simulated. */
import type { AdapterTensors } from "@gradpool/adapter";

/** A micro-batch of the step that a run is making. */
/** What a trainer says is wrong with a micro-batch. */
export interface Refusal {
  readonly trainerId: string;
  readonly message: string;
}

export interface MicroBatchState {
  /** "assigned": one trainer has it, or two when the first is late. */
  readonly status: "waiting" | "assigned" | "done";
  /** It is late: another trainer may be given it, too. */
  readonly late: boolean;
  /** Assignments so far. */
  readonly attempts: number;
  /** Trainers that reported it as failed, one entry a failure. */
  readonly failedOn: readonly string[];
  /** Trainers that gave no usable result where another might: what they say is believed when a second one agrees. */
  readonly refusals: readonly Refusal[];
  /** Assignments that ended with the loss of the trainer that computed it. */
  readonly losses: number;
  /** Since when it could have been handed out, unless its run is paused. */
  readonly waitsSinceMs: number;
}

export interface PoolRun {
  runId: string;
  /** A run that has ended is no longer here. "queued": too many others are active. */
  phase: "queued" | "preparing" | "running" | "finishing";
  /** Paused by a request. */
  paused: boolean;
  /** What it waits for, such as disk space; empty: nothing. */
  trouble: string;
  /** Its result is written; it ends once it is not paused. */
  finished: boolean;
  totalSteps: number;
  /** Current step, from 1. */
  step: number;
  /** The group is the held-out data, for the adapter after `step` steps; the next step waits for it. */
  evaluating: boolean;
  /** Micro-batches of this step, or of this evaluation, that have arrived from the data stream, by index. */
  group: MicroBatchState[];
  /** No further micro-batch belongs to this step. */
  groupComplete: boolean;
  /** The group's results are all in and the optimizer works, or the evaluation is recorded. */
  stepping: boolean;
  /** Micro-batches that arrived for later steps: whether each ends its step. */
  ahead: boolean[];
  /** Class of the trainers that serve this run (I2); undefined while it has no tasks or results. */
  deviceClass: string | undefined;
  /** Trainers on processors alone can compute it. */
  onProcessors: boolean;
  /** A result was accepted: the class stays. */
  hasResults: boolean;
  /** Value of `PoolState.assignments` when the run was last given a trainer. */
  lastServed: number;
  /** Lives of the coordinator in which it was begun and made no step, before this one; 0 once it has made one. */
  lives: number;
  /** How long a trainer takes for one of its micro-batches, as measured so far, and on how many. */
  turnMs: number;
  turns: number;
  /** A trainer that takes longer than this for one of them is stuck. */
  longestTurnMs: number;
  /** No trainer with less memory is given any of them. */
  leastBytes: number;
  /** Nor one without a buffer for the largest tensor in them. */
  largestTensor: LargestTensor;
}

/** A tensor that needs a buffer of its own. */
export interface LargestTensor {
  readonly bytes: number;
  /** Grammatically plural, for people: "the weights of lm_head", "the logits of a micro-batch". */
  readonly name: string;
  /** Of a micro-batch: smaller ones help. */
  readonly ofMicroBatch: boolean;
}

/** What a micro-batch takes of a trainer at the least. */
export interface Needs {
  leastBytes: number;
  largestTensor: LargestTensor;
}

/** Replaced, never changed: see changeTrainer. */
export interface PoolTrainer {
  readonly trainerId: string;
  readonly deviceClass: string;
  /** Of its device; 0: not known. */
  readonly memoryBytes: number;
  /** Of its device; 0: no bound is known. */
  readonly largestBufferBytes: number;
  /** Tasks it still has room for. */
  readonly credits: number;
  readonly lastSeenMs: number;
  /** Since when it computes the first of its tasks, at the earliest. */
  readonly busySinceMs: number;
  /** Tasks of other coordinators that it has to compute. */
  readonly tasksElsewhere: number;
  /** It is given no more work, by request. */
  readonly draining: boolean;
  /** Failures in a row. */
  readonly failures: number;
  /** End of its quarantine; 0: it is not in quarantine. */
  readonly quarantinedUntilMs: number;
  /** Why it is in quarantine. */
  readonly quarantineReason: string;
  /** The task that it last said it computes; empty: none, or it has not said. */
  readonly computing: string;
  /** Since when it says so. */
  readonly computingSinceMs: number;
  /** The task that it was stuck in, until it computes something else; empty: it is not stuck. */
  readonly stuckIn: string;
  /** Secret of its conversation, and part of its tasks' ids: nobody else can send their results. */
  readonly nonce: string;
}

export interface Task {
  readonly taskId: string;
  readonly trainerId: string;
  readonly runId: string;
  readonly step: number;
  readonly microBatch: number;
  /** It is a micro-batch of the evaluation after that step. */
  readonly evaluation: boolean;
}

/** What a trainer made of a micro-batch. */
export interface MicroBatchResult {
  /** Sum of the targets' negative log likelihoods, in nats. */
  readonly lossSum: number;
  readonly targetTokens: number;
  /** Of an evaluation: none. */
  readonly gradients: AdapterTensors;
}

/** The same, with the times that the trainer took for it. The core passes it on unread. */
export interface TaskResult extends MicroBatchResult {
  readonly computeMs: number;
  /** Between pull and computation; fetching the adapter is part of it. */
  readonly waitMs: number;
  readonly fetchMs: number;
  /** Why it can hardly be right, such as a loss that is NaN; undefined: nothing is wrong with it. */
  readonly doubt?: string | undefined;
}

export interface PoolState {
  /** Counts the coordinator's starts, so that no two share a task id. */
  life: number;
  /** The latest time of any input. */
  nowMs: number;
  /** In order of submission. */
  runs: PoolRun[];
  /** In order of joining. */
  trainers: PoolTrainer[];
  /** Micro-batches in trainers' hands, in order of assignment; a trainer computes its own in that order. */
  tasks: Task[];
  /** Tasks handed out so far. */
  assignments: number;
  /** The coordinator is stopping: see stopping.ts. */
  stopping: boolean;
}

export const emptyPool = (life = 1): PoolState => ({
  life,
  nowMs: 0,
  runs: [],
  trainers: [],
  tasks: [],
  assignments: 0,
  stopping: false,
});

/** What a trainer says of itself. */
export interface SignOfLife {
  /** The task that it works on; empty: none. */
  computing?: string;
  tasksElsewhere?: number;
  /** Its next task waits until it has computed one of another coordinator. */
  waiting?: boolean;
  /** It takes too long for one of another coordinator. */
  stuckElsewhere?: boolean;
}

/** What the core needs to know of a prepared run and its progress so far. */
export interface Prepared {
  totalSteps: number;
  /** Steps of the checkpoint that it resumes from; 0: a new start. */
  stepsDone: number;
  /** Class of the trainers that made them. */
  deviceClass: string | undefined;
  /** The adapter after them is still to be evaluated. */
  evaluate: boolean;
  /** No further step: evaluations stopped improving. */
  stopped: boolean;
  /** As PoolRun's; false unless given. */
  onProcessors?: boolean;
  /** As PoolRun's; no bound unless given. */
  longestTurnMs?: number;
}

/** Something that happened, for the core. `nowMs`: when, on a monotonic clock. */
export type Input = { nowMs?: number } &
  /** `lives`: of the coordinator, in which it was begun and made no step. */
  (
    | { type: "run-submitted"; runId: string; paused?: boolean; lives?: number }
    | ({ type: "run-prepared"; runId: string } & Prepared)
    | ({ type: "micro-batch-arrived"; runId: string; lastOfStep: boolean } & Partial<Needs>)
    /** All micro-batches up to the end of this step have arrived, and there are no more. */
    | { type: "stream-ended"; runId: string; lastStep: number }
    /** `memoryBytes`, `largestBufferBytes`: as PoolTrainer's; 0 unless given. */
    | {
        type: "trainer-joined";
        trainerId: string;
        deviceClass: string;
        draining?: boolean;
        nonce?: string;
        memoryBytes?: number;
        largestBufferBytes?: number;
      }
    | { type: "trainer-pulled"; trainerId: string; tasks: number }
    | ({ type: "trainer-heard"; trainerId: string } & SignOfLife)
    | { type: "trainer-left"; trainerId: string }
    | { type: "trainer-drained"; trainerId: string; draining: boolean }
    | { type: "time-passed"; leaseMs: number }
    | { type: "result-arrived"; taskId: string; result: TaskResult }
    | { type: "task-failed"; taskId: string; permanent: boolean; code: string; message: string }
    /** `evaluate`: before the next step. */
    | { type: "step-applied"; runId: string; evaluate: boolean }
    | { type: "evaluation-batch-arrived"; runId: string; last: boolean }
    /** `stop`: no further step. */
    | { type: "evaluation-applied"; runId: string; stop: boolean }
    | { type: "run-paused"; runId: string }
    | { type: "run-resumed"; runId: string }
    /** Something that is not the run's fault holds it up; an empty reason: no longer. */
    | { type: "run-troubled"; runId: string; reason: string }
    | { type: "run-finished"; runId: string }
    | { type: "run-failed"; runId: string; code: string; message: string }
    | { type: "run-cancelled"; runId: string }
    /** Another coordinator has room for this many of the runs that wait in the queue. */
    | { type: "queue-shared"; runs: number }
    /** The coordinator is stopping: begin no further step. */
    | { type: "pool-stopping" }
  );

/** What people see of where a run is. */
export type VisibleState = "queued" | "preparing" | "running" | "paused";

/** How a run ends. */
export type Outcome = "completed" | "cancelled" | "failed";
