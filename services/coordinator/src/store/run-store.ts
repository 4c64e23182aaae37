import type { CheckpointUpdate, Evaluation, Run, StepMetrics, WatchRunResponse } from "@gradpool/rpc";

/** Requests that are remembered, newest first: the same id comes again within minutes, not months. */
export const MAX_REQUESTS = 100_000;

/** Something that is recorded of a run or of the pool. */
export type Change =
  /** A run as it is from now on; the first one enters it. */
  | { type: "run"; run: Run }
  | { type: "step"; runId: string; step: StepMetrics }
  | { type: "evaluation"; runId: string; evaluation: Evaluation }
  | { type: "checkpoint"; runId: string; checkpoint: CheckpointUpdate }
  /** Replaces a run's steps and evaluations: it goes on from a checkpoint that has these. */
  | { type: "steps"; runId: string; steps: readonly StepMetrics[]; evaluations: readonly Evaluation[] }
  /** What was asked for under a request id (I4): a hash of it, and what it is about. */
  | { type: "request"; requestId: string; content: string; subject: string }
  | { type: "drained"; trainerId: string; draining: boolean };

/** What a store holds when it is opened. */
export interface Recorded {
  /** Which start of a coordinator on this store this is, from 1. */
  life: number;
  /** All runs, in order of submission. */
  runs: Run[];
  /** Oldest first. */
  requests: { requestId: string; content: string; subject: string }[];
  /** Trainers that are given no work. */
  drained: string[];
}

/** A run's steps, evaluations and checkpoints, in the order in which they were recorded. */
export type History = NonNullable<WatchRunResponse["update"]>[];

/**
 * The coordinator's memory, for one coordinator at a time. I4: what `commit` has answered survives
 * whatever happens to the process or the machine.
 */
export interface RunStore extends AsyncDisposable {
  /** What was there when it was opened. */
  readonly recorded: Recorded;
  /** What it holds is there when the coordinator starts again. */
  readonly isDurable: boolean;
  /** Records all of it or nothing, durably; in the order of the calls. */
  commit(changes: readonly Change[]): Promise<void>;
  history(runId: string): Promise<History>;
}
