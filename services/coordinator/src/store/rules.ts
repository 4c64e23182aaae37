/** What a change does to the tables: which rows replace which, and how many are kept. The same for every engine. */
import type { Run, RunLogEntry } from "@gradpool/rpc";
import {
  MAX_LOG_ENTRIES,
  MAX_REQUESTS,
  type Change,
  type History,
  type NewEvent,
  type Published,
  type RecordedRequest,
  type Reported,
} from "./run-store.js";

/** What a run has in its history besides checkpoints. */
export interface KnownHistory {
  /** How many of its entries are steps. */
  steps: number;
  /** Of each evaluation, the place in the history and the step after which it was made; in the order of places. */
  evaluations: { position: number; step: number }[];
}

/**
 * An engine's tables, within one transaction. Writes take effect in the order of the calls; an engine that has to wait for a
 * server reports their failure at the end of the transaction.
 */
export interface Tables {
  /** Adds the run after all others, or replaces its record. */
  putRun(run: Run): void;
  /** Removes its record, history, log and what it reported. */
  deleteRun(runId: string): void;
  /** Adds to the end of a run's history. */
  append(runId: string, update: History[number]): void;
  knownHistory(runId: string): KnownHistory | Promise<KnownHistory>;
  /** Removes a run's steps after one, from its history. */
  deleteStepsAfter(runId: string, step: number): void;
  /** Removes one entry of a run's history. */
  deleteUpdate(runId: string, position: number): void;
  /** Adds a request, the newest of all, and removes all but this many of the newest. */
  addRequest(request: RecordedRequest, kept: number): void;
  setDrained(trainerId: string, drained: boolean): void;
  /** Adds an event at the next position. */
  addEvent(event: NewEvent): void;
  /** Removes the events up to a position; `instead` takes the last one's place. */
  deleteEvents(through: number, instead: NewEvent | undefined): void;
  setReported(runId: string, reported: Reported): void;
  setPublished(published: Published): void;
  /** Adds an entry to a run's log, with the next number, and removes all but this many of the newest. */
  addLogEntry(runId: string, entry: Omit<RunLogEntry, "number">, kept: number): void;
}

/** Resolves, or returns, once all of the change is written. */
export function applyChange(tables: Tables, change: Change): void | Promise<void> {
  switch (change.type) {
    case "run":
      return tables.putRun(change.run);
    case "step":
      return tables.append(change.runId, { $case: "step", value: change.step });
    case "evaluation":
      return tables.append(change.runId, { $case: "evaluation", value: change.evaluation });
    case "checkpoint":
      return tables.append(change.runId, { $case: "checkpoint", value: change.checkpoint });
    case "steps": {
      tables.deleteStepsAfter(change.runId, change.steps.length);
      const known = tables.knownHistory(change.runId);
      return known instanceof Promise
        ? known.then((history) => completeHistory(tables, change, history))
        : completeHistory(tables, change, known);
    }
    case "delete-run":
      return tables.deleteRun(change.runId);
    case "request":
      return tables.addRequest(change, MAX_REQUESTS);
    case "drained":
      return tables.setDrained(change.trainerId, change.draining);
    case "event":
      return tables.addEvent(change.event);
    case "forget-events":
      return tables.deleteEvents(change.through, change.instead);
    case "reported":
      return tables.setReported(change.runId, change.reported);
    case "published":
      return tables.setPublished(change);
    case "log":
      return tables.addLogEntry(change.runId, change.entry, MAX_LOG_ENTRIES);
  }
}

/**
 * A run resumes with `steps` and `evaluations`. Those recorded already keep their place among the checkpoints, others are added;
 * evaluations after the last of them are removed, as steps were.
 */
function completeHistory(
  tables: Tables,
  { runId, steps, evaluations }: Change & { type: "steps" },
  known: KnownHistory,
): void {
  for (const value of steps.slice(known.steps)) tables.append(runId, { $case: "step", value });
  const lastStep = evaluations.at(-1)?.step ?? 0;
  const later = known.evaluations.filter(({ step }) => step > lastStep);
  for (const { position } of later) tables.deleteUpdate(runId, position);
  for (const value of evaluations.slice(known.evaluations.length - later.length)) {
    tables.append(runId, { $case: "evaluation", value });
  }
}
