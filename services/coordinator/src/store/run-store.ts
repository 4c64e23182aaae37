import type { FileHandle } from "node:fs/promises";
import type {
  CheckpointUpdate,
  Evaluation,
  Event,
  Run,
  RunLogEntry,
  StepMetrics,
  WatchRunResponse,
} from "@gradpool/rpc";

/** Requests that are remembered, newest first: the same id comes again within minutes, not months. */
export const MAX_REQUESTS = 100_000;

/** Entries of a run's log that are kept; the oldest go first. */
export const MAX_LOG_ENTRIES = 1_000;

/** An event at its place in the order of all, from 1 and without gaps. */
export interface PlacedEvent {
  position: number;
  event: Event;
}

/** What the events of a run have told: how many there are, and the last step, evaluation and checkpoint, by their steps. */
export interface Told {
  events: number;
  step: number;
  evaluation: number;
  checkpoint: number;
}

/** Up to where events are in a JetStream stream, and when that stream was made: another one has none of them. */
export interface Published {
  position: number;
  stream: string;
}

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
  | { type: "drained"; trainerId: string; draining: boolean }
  | ({ type: "event" } & PlacedEvent)
  | { type: "told"; runId: string; told: Told }
  /** The number is given by the store. */
  | { type: "log"; runId: string; entry: Omit<RunLogEntry, "number"> }
  | ({ type: "published" } & Published)
  /** All events up to this one go; `instead` takes its place. */
  | { type: "forget-events"; through: number; instead?: Event };

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
  events: RecordedEvents;
}

export interface RecordedEvents {
  /** Begins the ids of all events of this store. */
  logId: string;
  /** Position of the newest; 0: there was none yet. */
  newest: number;
  published: Published;
  /** By run. */
  told: Map<string, Told>;
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
  /** The next events behind a position, oldest first, at most `limit`. */
  events(after: number, limit: number): Promise<PlacedEvent[]>;
  /** The next entries of a run's log behind a number, oldest first, at most `limit`. */
  runLog(runId: string, after: number, limit: number): Promise<RunLogEntry[]>;
  /**
   * A copy of all that is recorded at this moment: a file that is gone when it is closed. Errors: `failed_precondition` when
   * nothing here is durable, `resource_exhausted` when there is no space for it.
   */
  backUp(): Promise<FileHandle>;
}
