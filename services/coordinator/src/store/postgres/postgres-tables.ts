/** Writes to the run store's tables in PostgreSQL: statements of one commit, which need not wait for one another. */
import { createHash } from "node:crypto";
import { Event, Run, RunLogEntry, WatchRunResponse } from "@gradpool/rpc";
import { absoluteOutputDir } from "@gradpool/service-kit";
import { hasEnded } from "../../record/run-record.js";
import { checksumOf } from "../checksum.js";
import { placedEvaluation, placedUpdate } from "../decoded-rows.js";
import type { KnownHistory, Tables } from "../rules.js";
import type { History, NewEvent, Published, RecordedRequest, Reported } from "../run-store.js";
import type { Rows, Sql } from "./database.js";

/** Members tell one another here what they changed: "MEMBER RUN", without a run for events that are about none. */
export const CHANGES_CHANNEL = "gradpool_changes";

export class PostgresTables implements Tables {
  readonly #sql: Sql;
  readonly #member: string;
  /** Runs that it changed. */
  readonly #changed = new Set<string>();

  /** `member`: who commits. */
  constructor(sql: Sql, member: string) {
    this.#sql = sql;
    this.#member = member;
  }

  putRun(run: Run): void {
    const { runId, state } = run;
    const record = Buffer.from(Run.encode(run).finish());
    const folder = folderKey(run);
    const sum = checksumOf("runs", [runId, state, folder, record]);
    const values = [this.#member, runId, state, hasEnded(run), folder, record, sum];
    this.#send("SELECT gradpool.put_run($1, $2, $3, $4, $5, $6, $7)", values);
    this.#changed.add(runId);
  }

  deleteRun(runId: string): void {
    for (const table of ["runs", "history", "run_log", "reported"]) {
      this.#send(`DELETE FROM gradpool.${table} WHERE run_id = $1`, [runId]);
    }
    this.#changed.add(runId);
  }

  append(runId: string, update: History[number]): void {
    const entry = Buffer.from(WatchRunResponse.encode({ update }).finish());
    const step = update.$case === "step" ? update.value.step : null;
    this.#send(
      `INSERT INTO gradpool.history (run_id, position, step, entry, checksum)
       SELECT $1, coalesce(max(position), 0) + 1, $2, $3, $4 FROM gradpool.history WHERE run_id = $1`,
      [runId, step, entry, checksumOf("history", [runId, step, entry])],
    );
    this.#changed.add(runId);
  }

  async knownHistory(runId: string): Promise<KnownHistory> {
    const counted = this.#sql("SELECT count(step) AS steps FROM gradpool.history WHERE run_id = $1", [runId]);
    const others = await this.#sql(
      "SELECT position, entry FROM gradpool.history WHERE run_id = $1 AND step IS NULL ORDER BY position",
      [runId],
    );
    const [row] = await counted;
    return { steps: Number(row?.["steps"]), evaluations: others.flatMap(placedUpdate).flatMap(placedEvaluation) };
  }

  deleteStepsAfter(runId: string, step: number): void {
    this.#send("DELETE FROM gradpool.history WHERE run_id = $1 AND step > $2", [runId, step]);
  }

  deleteUpdate(runId: string, position: number): void {
    this.#send("DELETE FROM gradpool.history WHERE run_id = $1 AND position = $2", [runId, position]);
  }

  addRequest({ requestId, content, subject }: RecordedRequest, kept: number): void {
    const values = [Buffer.from(requestId), content, Buffer.from(subject)];
    this.#send(
      `INSERT INTO gradpool.requests (request_key, request_id, content, subject, checksum) VALUES ($1, $2, $3, $4, $5)`,
      [keyOf(requestId), ...values, checksumOf("requests", values)],
    );
    this.#send(
      "DELETE FROM gradpool.requests WHERE number <= (SELECT max(number) FROM gradpool.requests) - $1::bigint",
      [kept],
    );
  }

  setDrained(trainerId: string, drained: boolean): void {
    const id = Buffer.from(trainerId);
    if (drained) {
      const sum = checksumOf("drained_trainers", [id]);
      this.#send("INSERT INTO gradpool.drained_trainers VALUES ($1, $2) ON CONFLICT DO NOTHING", [id, sum]);
    } else {
      this.#send("DELETE FROM gradpool.drained_trainers WHERE trainer_id = $1", [id]);
    }
    this.#changed.add("");
  }

  /** The row of the event log is locked until the end of the transaction: positions have the order of commits, without gaps. */
  addEvent(event: NewEvent): void {
    const bytes = encoded(event);
    this.#send(
      `WITH log AS (UPDATE gradpool.event_log SET newest = newest + 1 RETURNING newest)
       INSERT INTO gradpool.events (position, event, checksum) SELECT newest, $1, $2 FROM log`,
      [bytes, checksumOf("events", [bytes])],
    );
    this.#changed.add(event.runId);
  }

  deleteEvents(through: number, instead: NewEvent | undefined): void {
    this.#send("DELETE FROM gradpool.events WHERE position <= $1", [through]);
    if (!instead) return;
    const bytes = encoded(instead);
    this.#send("INSERT INTO gradpool.events (position, event, checksum) VALUES ($1, $2, $3)", [
      ...[through, bytes],
      checksumOf("events", [bytes]),
    ]);
  }

  setReported(runId: string, { events, step, evaluation, checkpoint }: Reported): void {
    const values = [runId, events, step, evaluation, checkpoint];
    this.#send(
      `INSERT INTO gradpool.reported VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (run_id) DO UPDATE
       SET events = $2, step = $3, evaluation = $4, checkpoint = $5, checksum = $6`,
      [...values, checksumOf("reported", values)],
    );
  }

  setPublished({ position, stream }: Published): void {
    this.#send("UPDATE gradpool.publisher SET published = $1, stream = $2", [position, stream]);
  }

  addLogEntry(runId: string, entry: Omit<RunLogEntry, "number">, kept: number): void {
    const bytes = Buffer.from(RunLogEntry.encode({ ...entry, number: 0 }).finish());
    this.#send(
      `INSERT INTO gradpool.run_log (run_id, number, entry, checksum)
       SELECT $1, coalesce(max(number), 0) + 1, $2, $3 FROM gradpool.run_log WHERE run_id = $1`,
      [runId, bytes, checksumOf("run_log", [runId, bytes])],
    );
    this.#send(
      `DELETE FROM gradpool.run_log WHERE run_id = $1
       AND number <= (SELECT max(number) FROM gradpool.run_log WHERE run_id = $1) - $2::bigint`,
      [runId, kept],
    );
    this.#changed.add(runId);
  }

  /** Tells other members, once the transaction is committed. */
  tell(): void {
    for (const runId of this.#changed) {
      this.#send("SELECT pg_notify($1, $2)", [CHANGES_CHANNEL, `${this.#member} ${runId}`]);
    }
  }

  /** A failure ends the transaction, which reports it. */
  #send(...statement: Parameters<Sql>): void {
    void (this.#sql(...statement) satisfies Promise<Rows>);
  }
}

const encoded = (event: NewEvent): Buffer => Buffer.from(Event.encode({ ...event, eventId: "" }).finish());

/** Of an id that a client chose: of any length, and any characters. */
export const keyOf = (id: string): Buffer => createHash("sha256").update(id).digest();

/** Of an output folder: no two runs that have not ended have the same. */
export const folderKey = ({ runId, spec }: Run): Buffer =>
  keyOf(spec ? `folder ${absoluteOutputDir(spec.outputDir)}` : `run ${runId}`);
