/** The run store's tables in SQLite. All of it is part of the transactions of sqlite-database.ts. */
import { Event, Run, RunLogEntry, WatchRunResponse } from "@gradpool/rpc";
import type { CheckedTables, Statements, TableName } from "./checked-tables.js";
import { placedEvaluation, placedUpdate, reportedOf } from "./decoded-rows.js";
import type { KnownHistory, Tables } from "./rules.js";
import type {
  History,
  NewEvent,
  PlacedEvent,
  PlacedUpdate,
  Published,
  Recorded,
  RecordedEvents,
  RecordedRequest,
  Reported,
} from "./run-store.js";

export class SqliteTables implements Tables {
  readonly #database: Statements;
  readonly #tables: CheckedTables;

  constructor(database: Statements, tables: CheckedTables) {
    this.#database = database;
    this.#tables = tables;
  }

  putRun(run: Run): void {
    const { runId, state } = run;
    const [known] = this.#database.all("SELECT number FROM runs WHERE run_id = ?", [runId]);
    const number = known?.["number"] ?? this.#next("runs", "number");
    this.#tables.put("runs", [number, runId, state, Run.encode(run).finish()]);
  }

  deleteRun(runId: string): void {
    for (const table of ["runs", "history", "run_log", "told"]) {
      this.#database.run(`DELETE FROM ${table} WHERE run_id = ?`, [runId]);
    }
  }

  append(runId: string, update: History[number]): void {
    const entry = WatchRunResponse.encode({ update }).finish();
    const step = update.$case === "step" ? update.value.step : null;
    this.#tables.put("history", [this.#next("history", "position"), runId, step, entry]);
  }

  knownHistory(runId: string): KnownHistory {
    const [row] = this.#database.all("SELECT COUNT(step) AS steps FROM history WHERE run_id = ?", [runId]);
    const others = this.#tables.read("history", "WHERE run_id = ? AND step IS NULL ORDER BY position", [runId]);
    return { steps: Number(row?.["steps"]), evaluations: others.flatMap(placedUpdate).flatMap(placedEvaluation) };
  }

  deleteStepsAfter(runId: string, step: number): void {
    this.#database.run("DELETE FROM history WHERE run_id = ? AND step > ?", [runId, step]);
  }

  deleteUpdate(runId: string, position: number): void {
    this.#database.run("DELETE FROM history WHERE run_id = ? AND position = ?", [runId, position]);
  }

  addRequest({ requestId, content, subject }: RecordedRequest, kept: number): void {
    const number = this.#next("requests", "number");
    this.#tables.put("requests", [number, requestId, content, subject]);
    this.#database.run("DELETE FROM requests WHERE number <= ?", [number - kept]);
  }

  setDrained(trainerId: string, drained: boolean): void {
    if (drained) this.#tables.put("drained_trainers", [trainerId]);
    else this.#database.run("DELETE FROM drained_trainers WHERE trainer_id = ?", [trainerId]);
  }

  addEvent(event: NewEvent): void {
    this.#putEvent(this.newestEvent() + 1, event);
  }

  deleteEvents(through: number, instead: NewEvent | undefined): void {
    this.#database.run("DELETE FROM events WHERE position <= ?", [through]);
    if (instead) this.#putEvent(through, instead);
  }

  setReported(runId: string, { events, step, evaluation, checkpoint }: Reported): void {
    this.#tables.put("told", [runId, events, step, evaluation, checkpoint]);
  }

  setPublished({ position, stream }: Published): void {
    this.#tables.put("event_log", [1, this.#logId(), position, stream]);
  }

  addLogEntry(runId: string, entry: Omit<RunLogEntry, "number">, kept: number): void {
    const [row] = this.#database.all("SELECT MAX(number) AS last FROM run_log WHERE run_id = ?", [runId]);
    const number = Number(row?.["last"] ?? 0) + 1;
    this.#tables.put("run_log", [runId, number, RunLogEntry.encode({ ...entry, number }).finish()]);
    this.#database.run("DELETE FROM run_log WHERE run_id = ? AND number <= ?", [runId, number - kept]);
  }

  /** Position of the newest event; 0: there is none. */
  newestEvent(): number {
    return this.#next("events", "position") - 1;
  }

  recorded(): Omit<Recorded, "life"> {
    return {
      runs: this.#tables.read("runs", "ORDER BY number").map((row) => Run.decode(row["run"] as Uint8Array)),
      requests: this.#tables.read("requests", "ORDER BY number").map((row) => ({
        requestId: String(row["request_id"]),
        content: String(row["content"]),
        subject: String(row["subject"]),
      })),
      drained: this.#tables.read("drained_trainers").map((row) => String(row["trainer_id"])),
      events: this.#recordedEvents(),
    };
  }

  /** With a negative limit all of it. */
  historyPage(runId: string, after: number, limit: number): PlacedUpdate[] {
    const where = "WHERE run_id = ? AND position > ? ORDER BY position LIMIT ?";
    return this.#tables.read("history", where, [runId, after, limit]).flatMap(placedUpdate);
  }

  events(after: number, limit: number): PlacedEvent[] {
    const logId = this.#logId();
    const rows = this.#tables.read("events", "WHERE position > ? ORDER BY position LIMIT ?", [after, limit]);
    return rows.map((row) => {
      const position = Number(row["position"]);
      return { position, event: { ...Event.decode(row["event"] as Uint8Array), eventId: `${logId}-${position}` } };
    });
  }

  runLog(runId: string, after: number, limit: number): RunLogEntry[] {
    const where = "WHERE run_id = ? AND number > ? ORDER BY number LIMIT ?";
    return this.#tables.read("run_log", where, [runId, after, limit]).map((row) => {
      return RunLogEntry.decode(row["entry"] as Uint8Array);
    });
  }

  eventLog(): Omit<RecordedEvents, "reported"> {
    const [log = {}] = this.#tables.read("event_log");
    return {
      logId: String(log["log_id"]),
      newest: this.newestEvent(),
      published: { position: Number(log["published"]), stream: String(log["stream"]) },
    };
  }

  #recordedEvents(): RecordedEvents {
    return { ...this.eventLog(), reported: new Map(this.#tables.read("told").map(reportedOf)) };
  }

  #logId(): string {
    return String(this.#tables.read("event_log")[0]?.["log_id"] ?? "");
  }

  #putEvent(position: number, event: NewEvent): void {
    this.#tables.put("events", [position, Event.encode({ ...event, eventId: "" }).finish()]);
  }

  /** One more than the largest in the column. */
  #next(table: TableName, column: string): number {
    return Number(this.#database.all(`SELECT MAX(${column}) AS last FROM ${table}`)[0]?.["last"] ?? 0) + 1;
  }
}
