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

/** Requests that are remembered, newest first: a client repeats an id within minutes, not months. */
export const MAX_REQUESTS = 100_000;

/** Entries of a run's log that are kept; the oldest are removed first. */
export const MAX_LOG_ENTRIES = 1_000;

/** An event at its place in the order of all, from 1 and without gaps. */
export interface PlacedEvent {
  position: number;
  event: Event;
}

/** An event that is to be recorded: its id is that of its place. */
export type NewEvent = Omit<Event, "eventId">;

/** What was asked for under a request id (I4): a hash of its content, and its subject. */
export interface RecordedRequest {
  requestId: string;
  content: string;
  subject: string;
}

/** How many events a run has reported, and the last step, evaluation and checkpoint among them, by their steps. */
export interface Reported {
  events: number;
  step: number;
  evaluation: number;
  checkpoint: number;
}

/** Up to where events are in a JetStream stream, and when that stream was made: a stream made at another time has none of them. */
export interface Published {
  position: number;
  stream: string;
}

/** A change to a run or the pool, to be recorded. */
export type Change =
  /** A run's new state; the first one adds the run. */
  | { type: "run"; run: Run }
  | { type: "step"; runId: string; step: StepMetrics }
  | { type: "evaluation"; runId: string; evaluation: Evaluation }
  | { type: "checkpoint"; runId: string; checkpoint: CheckpointUpdate }
  /** Replaces a run's steps and evaluations: it resumes from a checkpoint that has these. */
  | { type: "steps"; runId: string; steps: readonly StepMetrics[]; evaluations: readonly Evaluation[] }
  /** Removes all of a run but its events. */
  | { type: "delete-run"; runId: string }
  | ({ type: "request" } & RecordedRequest)
  | { type: "drained"; trainerId: string; draining: boolean }
  /** The store gives it the next position. */
  | { type: "event"; event: NewEvent }
  | { type: "reported"; runId: string; reported: Reported }
  /** The store assigns the number. */
  | { type: "log"; runId: string; entry: Omit<RunLogEntry, "number"> }
  | ({ type: "published" } & Published)
  /** Removes all events up to this one; `instead` takes its place. */
  | { type: "forget-events"; through: number; instead?: NewEvent };

/** What a store holds when it is opened. */
export interface Recorded {
  /** Counts the coordinator's starts on this store, from 1. */
  life: number;
  /** All runs, in order of submission. */
  runs: Run[];
  /** Oldest first. */
  requests: RecordedRequest[];
  /** Trainers that are given no work. */
  drained: string[];
  events: RecordedEvents;
}

export interface RecordedEvents {
  /** Prefix of the ids of all events of this store: the id of one is LOG_ID-POSITION. */
  logId: string;
  /** Position of the newest; 0: there is none yet. */
  newest: number;
  published: Published;
  /** By run. */
  reported: Map<string, Reported>;
}

/** A part of the store that was looked at. */
export interface Checked {
  rows: number;
  /** One line each: what is damaged. */
  problems: string[];
}

/** A run's steps, evaluations and checkpoints, in the order in which they were recorded. */
export type History = NonNullable<WatchRunResponse["update"]>[];

/** A part of a run's history; positions ascend. */
export interface PlacedUpdate {
  position: number;
  update: History[number];
}

/**
 * The coordinator's memory, for one coordinator at a time. I4: what `commit` has confirmed survives
 * whatever happens to the process or the machine.
 */
export interface RunStore extends AsyncDisposable {
  /** What it held when it was opened. */
  readonly recorded: Recorded;
  /** Whether its content survives a restart of the coordinator. */
  readonly isDurable: boolean;
  /** Records all of it or nothing, durably; in the order of the calls. Gives the position of the newest event then. */
  commit(changes: readonly Change[]): Promise<number>;
  history(runId: string): Promise<History>;
  /** The next part of a run's history after a position, at most `limit`. */
  historyPage(runId: string, after: number, limit: number): Promise<PlacedUpdate[]>;
  /** The next events after a position, oldest first, at most `limit`. */
  events(after: number, limit: number): Promise<PlacedEvent[]>;
  /** The next entries of a run's log after a number, oldest first, at most `limit`. */
  runLog(runId: string, after: number, limit: number): Promise<RunLogEntry[]>;
  /** Looks at all that is recorded, a page at a time, so that commits need not wait. */
  check(): AsyncIterable<Checked>;
  /**
   * A copy of all that is recorded at this moment: a file that is removed when it is closed. Errors: `failed_precondition` when
   * the store is not durable, `resource_exhausted` when there is no space for it.
   */
  backUp(): Promise<FileHandle>;
}
