/** The run store's tables of events and of runs' logs. Each function is part of a transaction of sqlite-database.ts. */
import { Event, RunLogEntry } from "@gradpool/rpc";
import type { CheckedTables, Statements } from "./checked-tables.js";
import { MAX_LOG_ENTRIES, type Change, type PlacedEvent, type RecordedEvents } from "./run-store.js";

type EventChange = Extract<Change, { type: "event" | "reported" | "log" | "published" | "forget-events" }>;

export function applyEventChange(database: Statements, tables: CheckedTables, change: EventChange): void {
  switch (change.type) {
    case "event":
      putEvent(tables, change.position, change.event);
      break;
    case "reported": {
      const { events, step, evaluation, checkpoint } = change.reported;
      tables.put("told", [change.runId, events, step, evaluation, checkpoint]);
      break;
    }
    case "log":
      addToLog(database, tables, change);
      break;
    case "published": {
      const [log = {}] = tables.read("event_log");
      tables.put("event_log", [1, log["log_id"] ?? "", change.position, change.stream]);
      break;
    }
    case "forget-events":
      database.run("DELETE FROM events WHERE position <= ?", [change.through]);
      if (change.instead) putEvent(tables, change.through, change.instead);
      break;
  }
}

function putEvent(tables: CheckedTables, position: number, event: Event): void {
  tables.put("events", [position, Event.encode(event).finish()]);
}

function addToLog(database: Statements, tables: CheckedTables, { runId, entry }: EventChange & { type: "log" }): void {
  const [row] = database.all("SELECT MAX(number) AS last FROM run_log WHERE run_id = ?", [runId]);
  const number = Number(row?.["last"] ?? 0) + 1;
  const bytes = RunLogEntry.encode({ ...entry, number }).finish();
  tables.put("run_log", [runId, number, bytes]);
  database.run("DELETE FROM run_log WHERE run_id = ? AND number <= ?", [runId, number - MAX_LOG_ENTRIES]);
}

export function recordedEvents(tables: CheckedTables): RecordedEvents {
  const [log = {}] = tables.read("event_log");
  const [newest = {}] = tables.read("events", "ORDER BY position DESC LIMIT 1");
  const reported = tables.read("told").map(
    (row) =>
      [
        String(row["run_id"]),
        {
          events: Number(row["events"]),
          step: Number(row["step"]),
          evaluation: Number(row["evaluation"]),
          checkpoint: Number(row["checkpoint"]),
        },
      ] as const,
  );
  return {
    logId: String(log["log_id"]),
    newest: Number(newest["position"] ?? 0),
    published: { position: Number(log["published"]), stream: String(log["stream"]) },
    reported: new Map(reported),
  };
}

export function eventsAfter(tables: CheckedTables, after: number, limit: number): PlacedEvent[] {
  const rows = tables.read("events", "WHERE position > ? ORDER BY position LIMIT ?", [after, limit]);
  return rows.map((row) => ({ position: Number(row["position"]), event: Event.decode(row["event"] as Uint8Array) }));
}

export function runLogAfter(tables: CheckedTables, runId: string, after: number, limit: number): RunLogEntry[] {
  const rows = tables.read("run_log", "WHERE run_id = ? AND number > ? ORDER BY number LIMIT ?", [runId, after, limit]);
  return rows.map((row) => RunLogEntry.decode(row["entry"] as Uint8Array));
}
