/** The run store's tables of events and of runs' logs. Each function is part of a transaction of sqlite-database.ts. */
import { Event, RunLogEntry } from "@gradpool/rpc";
import { MAX_LOG_ENTRIES, type Change, type PlacedEvent, type RecordedEvents } from "./run-store.js";

export type Row = Record<string, number | string | Uint8Array | null>;

/** What the tables need of the database. */
export interface Statements {
  run(sql: string, values?: (number | string | Uint8Array | null)[]): void;
  all(sql: string, values?: (number | string | Uint8Array | null)[]): Row[];
}

type EventChange = Extract<Change, { type: "event" | "reported" | "log" | "published" | "forget-events" }>;

export function applyEventChange(database: Statements, change: EventChange): void {
  switch (change.type) {
    case "event":
      putEvent(database, change.position, change.event);
      break;
    case "reported": {
      const { events, step, evaluation, checkpoint } = change.reported;
      database.run("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?)", [
        ...[change.runId, events, step, evaluation, checkpoint],
      ]);
      break;
    }
    case "log":
      addToLog(database, change);
      break;
    case "published":
      database.run("UPDATE event_log SET published = ?, stream = ?", [change.position, change.stream]);
      break;
    case "forget-events":
      database.run("DELETE FROM events WHERE position <= ?", [change.through]);
      if (change.instead) putEvent(database, change.through, change.instead);
      break;
  }
}

function putEvent(database: Statements, position: number, event: Event): void {
  database.run("INSERT INTO events VALUES (?, ?)", [position, Event.encode(event).finish()]);
}

function addToLog(database: Statements, { runId, entry }: EventChange & { type: "log" }): void {
  const [row] = database.all("SELECT MAX(number) AS last FROM run_log WHERE run_id = ?", [runId]);
  const number = Number(row?.["last"] ?? 0) + 1;
  const bytes = RunLogEntry.encode({ ...entry, number }).finish();
  database.run("INSERT INTO run_log VALUES (?, ?, ?)", [runId, number, bytes]);
  database.run("DELETE FROM run_log WHERE run_id = ? AND number <= ?", [runId, number - MAX_LOG_ENTRIES]);
}

export function recordedEvents(database: Statements): RecordedEvents {
  const [log = {}] = database.all("SELECT log_id, published, stream FROM event_log");
  const [newest = {}] = database.all("SELECT MAX(position) AS newest FROM events");
  const reported = database.all("SELECT * FROM told").map(
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
    newest: Number(newest["newest"] ?? 0),
    published: { position: Number(log["published"]), stream: String(log["stream"]) },
    reported: new Map(reported),
  };
}

export function eventsBehind(database: Statements, after: number, limit: number): PlacedEvent[] {
  const rows = database.all("SELECT position, event FROM events WHERE position > ? ORDER BY position LIMIT ?", [
    ...[after, limit],
  ]);
  return rows.map((row) => ({ position: Number(row["position"]), event: Event.decode(row["event"] as Uint8Array) }));
}

export function runLogBehind(database: Statements, runId: string, after: number, limit: number): RunLogEntry[] {
  const rows = database.all("SELECT entry FROM run_log WHERE run_id = ? AND number > ? ORDER BY number LIMIT ?", [
    ...[runId, after, limit],
  ]);
  return rows.map((row) => RunLogEntry.decode(row["entry"] as Uint8Array));
}
