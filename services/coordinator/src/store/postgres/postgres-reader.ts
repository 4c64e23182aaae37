/** Reads what the run store in PostgreSQL holds; each row's checksum is compared. */
import { GradpoolError } from "@gradpool/errors";
import { visible } from "@gradpool/format";
import { Event, Run, RunLogEntry } from "@gradpool/rpc";
import type { Value } from "../checksum.js";
import { placedUpdate, reportedOf } from "../decoded-rows.js";
import type {
  Checked,
  History,
  PlacedEvent,
  PlacedUpdate,
  Published,
  Recorded,
  RecordedEvents,
  RecordedRequest,
  Reported,
} from "../run-store.js";
import { describe } from "./address.js";
import { arrayOf, type Database, type Patience, type Rows, type Values } from "./database.js";
import { survivors } from "./membership.js";
import { keyOf } from "./postgres-tables.js";
import { POSTGRES_TABLES, rowChecksum, SHAPES, type PostgresTable } from "./table-shapes.js";

/** Rows that are read at a time where all are. */
const PAGE_ROWS = 500;

/** A run, and who owns it. */
export interface Owned {
  run: Run;
  /** A member; null: nobody. */
  owner: string | null;
  /** How often it has changed hands. */
  epoch: number;
}

export class PostgresReader {
  readonly #database: Database;
  #logId = "";

  constructor(database: Database) {
    this.#database = database;
  }

  /** All that a coordinator begins with, but its life. */
  async recorded(): Promise<Omit<Recorded, "life">> {
    const runs = await this.#all("runs");
    const requests = await this.#all("requests");
    return {
      runs: runs.map(({ run }) => Run.decode(run as Uint8Array)),
      requests: requests.map(requestOf),
      drained: await this.drained(),
      events: await this.#recordedEvents(),
    };
  }

  /** Runs as they are now, with their owners; of all, or of those that are still there. */
  async owned(runIds?: readonly string[]): Promise<Owned[]> {
    const rows = await (runIds ? this.#all("runs", "run_id = ANY($1)", [arrayOf(runIds)]) : this.#all("runs"));
    return rows.map(({ run, owner, epoch }) => ({
      ...{ run: Run.decode(run as Uint8Array), epoch: Number(epoch) },
      owner: owner === null ? null : String(owner),
    }));
  }

  survivors(): Promise<Set<number>> {
    return survivors(this.#database.sql);
  }

  /** What events say of these runs. */
  async reported(runIds: readonly string[]): Promise<Map<string, Reported>> {
    return new Map((await this.#all("reported", "run_id = ANY($1)", [arrayOf(runIds)])).map(reportedOf));
  }

  /** How far events were published, and to which stream. */
  async published(): Promise<Published> {
    const [publisher = {}] = await this.#database.query("SELECT * FROM gradpool.publisher");
    return { position: Number(publisher["published"]), stream: String(publisher["stream"]) };
  }

  async drained(): Promise<string[]> {
    return (await this.#all("drained_trainers")).map((row) => text(row["trainer_id"]));
  }

  async request(requestId: string): Promise<RecordedRequest | undefined> {
    const [row] = await this.#read("requests", "WHERE request_key = $1", [keyOf(requestId)]);
    return row && requestOf(row);
  }

  /** The position of the newest event. */
  async newestEvent(patience?: Patience): Promise<number> {
    const [row] = await this.#database.query("SELECT newest FROM gradpool.event_log", [], patience);
    return Number(row?.["newest"]);
  }

  async history(runId: string): Promise<History> {
    const rows = await this.#all("history", "run_id = $1", [runId]);
    return rows.flatMap(placedUpdate).map(({ update }) => update);
  }

  async historyPage(runId: string, after: number, limit: number): Promise<PlacedUpdate[]> {
    const rows = await this.#read("history", "WHERE run_id = $1 AND position > $2 ORDER BY position LIMIT $3", [
      ...[runId, after, limit],
    ]);
    return rows.flatMap(placedUpdate);
  }

  async events(after: number, limit: number): Promise<PlacedEvent[]> {
    const rows = await this.#read("events", "WHERE position > $1 ORDER BY position LIMIT $2", [after, limit]);
    return rows.map((row) => {
      const position = Number(row["position"]);
      const event = Event.decode(row["event"] as Uint8Array);
      return { position, event: { ...event, eventId: `${this.#logId}-${position}` } };
    });
  }

  async runLog(runId: string, after: number, limit: number): Promise<RunLogEntry[]> {
    const where = "WHERE run_id = $1 AND number > $2 ORDER BY number LIMIT $3";
    const rows = await this.#read("run_log", where, [runId, after, limit]);
    return rows.map((row) => ({ ...RunLogEntry.decode(row["entry"] as Uint8Array), number: Number(row["number"]) }));
  }

  /** Looks at each row, and at whether events are without gaps. */
  async *check(): AsyncGenerator<Checked> {
    yield { rows: 0, problems: await this.#eventProblems() };
    for (const table of POSTGRES_TABLES) {
      for await (const rows of this.#pages(table)) {
        const damaged = rows.filter((row) => !isIntact(table, row)).map((row) => problemOf(table, row));
        yield { rows: rows.length, problems: damaged };
      }
    }
  }

  async #recordedEvents(): Promise<RecordedEvents> {
    const [log = {}] = await this.#database.query("SELECT * FROM gradpool.event_log");
    this.#logId = String(log["log_id"]);
    const reported = (await this.#all("reported")).map(reportedOf);
    return {
      ...{ logId: this.#logId, newest: Number(log["newest"]), reported: new Map(reported) },
      published: await this.published(),
    };
  }

  async #eventProblems(): Promise<string[]> {
    const [row = {}] = await this.#database.query(
      `SELECT newest, count(position) AS events, min(position) AS first, max(position) AS last
       FROM gradpool.event_log LEFT JOIN gradpool.events ON true GROUP BY newest`,
    );
    const { newest, events, first, last } = row;
    if (Number(events) === 0) return [];
    const isWhole = last === newest && Number(events) === Number(last) - Number(first) + 1;
    return isWhole ? [] : ["events are missing between the oldest and the newest"];
  }

  async #all(table: PostgresTable, where?: string, values?: Values): Promise<Rows> {
    const all: Rows = [];
    for await (const page of this.#pages(table, where, values)) all.push(...this.#intact(table, page));
    return all;
  }

  /** Their rows are not compared with their checksums. */
  async *#pages(table: PostgresTable, where = "true", values: Values = []): AsyncGenerator<Rows> {
    const { key } = SHAPES[table];
    const order = key.join(", ");
    for (let place: Values = []; ;) {
      const marks = place.map((_, i) => `$${values.length + i + 1}`).join(", ");
      const after = place.length > 0 ? `AND (${order}) > (${marks})` : "";
      const page = await this.#database.query(
        `SELECT * FROM gradpool.${table} WHERE ${where} ${after} ORDER BY ${order} LIMIT ${PAGE_ROWS}`,
        [...values, ...place],
      );
      yield page;
      const last = page.at(-1);
      if (!last || page.length < PAGE_ROWS) return;
      place = key.map((column) => last[column] as Value);
    }
  }

  async #read(table: PostgresTable, rest: string, values: Values): Promise<Rows> {
    return this.#intact(table, await this.#database.query(`SELECT * FROM gradpool.${table} ${rest}`, values));
  }

  /** Errors: `data_loss`. */
  #intact(table: PostgresTable, rows: Rows): Rows {
    const damaged = rows.find((row) => !isIntact(table, row));
    if (!damaged) return rows;
    const problem = `the run store ${describe(this.#database.address)} is damaged (${problemOf(table, damaged)})`;
    throw new GradpoolError("data_loss", `${problem}; restore a copy that pg_dump made, or name an empty database`);
  }
}

function isIntact(table: PostgresTable, row: Rows[number]): boolean {
  const { checksum } = row;
  return checksum instanceof Uint8Array && rowChecksum(table, row).equals(checksum);
}

function problemOf(table: PostgresTable, row: Rows[number]): string {
  const key = SHAPES[table].key.map((column) => visible(text(row[column]).slice(0, 100))).join(" ");
  const name =
    table === "runs" ? `the record of run ${visible(text(row["run_id"]).slice(0, 100))}` : `row ${key} of ${table}`;
  return `${name} is not what was written`;
}

const text = (value: unknown): string => (Buffer.isBuffer(value) ? value.toString() : String(value));

const requestOf = (row: Rows[number]): RecordedRequest => ({
  requestId: text(row["request_id"]),
  content: String(row["content"]),
  subject: text(row["subject"]),
});
