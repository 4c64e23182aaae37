/**
 * The run store as a SQLite file. It runs in its own thread (sqlite-worker.ts), since SQLite waits for
 * the disk (I10).
 *
 * The journal is a write-ahead log in exclusive mode. node-sqlite3-wasm's rollback journal is not safe: the
 * lock that its own connection holds looks to SQLite like another's, so after a crash a hot journal is
 * ignored and a transaction stays half done (docs/decisions/0010-run-store.md).
 */
import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { RunLogEntry } from "@gradpool/rpc";
import { GradpoolError } from "@gradpool/errors";
import sqlite from "node-sqlite3-wasm";
import {
  CheckedTables,
  TABLE_NAMES,
  type Place,
  type Row,
  type Statements,
  type TableName,
  type Value,
} from "./checked-tables.js";
import { ConfirmedLog, missingFromLog } from "./confirmed-log.js";
import { applyChange } from "./rules.js";
import { CHECKED_VERSION, MIGRATIONS } from "./schema.js";
import type { Change, Checked, History, PlacedEvent, PlacedUpdate, Recorded, RecordedEvents } from "./run-store.js";
import { SqliteTables } from "./sqlite-tables.js";

/** A page of the store; undefined table: its structure. */
export interface CheckPlace {
  table?: TableName;
  after?: Place;
}

const MEMORY = ":memory:";

export class SqliteDatabase {
  readonly #path: string;
  readonly #database: InstanceType<typeof sqlite.Database>;
  readonly #statements: Statements = {
    run: (sql, values) => this.#run(sql, values),
    all: (sql, values) => this.#all(sql, values),
  };
  readonly #checked = new CheckedTables(this.#statements, (what) => this.#damaged(what));
  readonly #tables = new SqliteTables(this.#statements, this.#checked);
  readonly #readOnly: boolean;
  #log: ConfirmedLog | undefined;

  /**
   * `path`: a file that no other process uses, or ":memory:". With `readOnly` it stays as it is, and what is damaged is for
   * `check` to find. Errors: `data_loss`, `failed_precondition`.
   */
  constructor(path: string, { readOnly = false } = {}) {
    this.#path = path;
    this.#readOnly = readOnly;
    const missing = readOnly ? undefined : missingFromLog(path);
    if (missing) throw this.#damaged(missing);
    // Left by a killed process; the store's lock ensures that no other process is alive.
    if (path !== MEMORY) rmSync(`${path}.lock`, { recursive: true, force: true });
    this.#database = new sqlite.Database(path, { readOnly });
    try {
      this.#all("PRAGMA locking_mode = EXCLUSIVE");
      if (readOnly) return;
      this.#all("PRAGMA journal_mode = WAL");
      this.#all("PRAGMA synchronous = FULL");
      const [problem] = this.#structureProblems();
      if (problem) throw this.#damaged(problem);
      this.#migrate();
      if (path === MEMORY) return;
      this.#log = new ConfirmedLog(path);
      syncFolder(dirname(path));
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Counts a start of the coordinator, and returns what is recorded. */
  begin(): Recorded {
    const [row] = this.#checked.read("coordinator");
    const life = Number(row?.["life"]) + 1;
    this.#transaction(() => this.#checked.put("coordinator", [1, life]));
    return { life, ...this.#tables.recorded() };
  }

  /** Gives the position of the newest event. */
  commit(changes: readonly Change[]): number {
    this.#transaction(() => {
      for (const change of changes) void applyChange(this.#tables, change);
    });
    return this.#tables.newestEvent();
  }

  history(runId: string): History {
    return this.historyPage(runId, 0, -1).map(({ update }) => update);
  }

  /** With a negative limit all of it. */
  historyPage(runId: string, after: number, limit: number): PlacedUpdate[] {
    return this.#tables.historyPage(runId, after, limit);
  }

  events(after: number, limit: number): PlacedEvent[] {
    return this.#tables.events(after, limit);
  }

  runLog(runId: string, after: number, limit: number): RunLogEntry[] {
    return this.#tables.runLog(runId, after, limit);
  }

  /** Looks at the structure first, then at one page of rows after another, as `next` says. */
  check({ table, after }: CheckPlace = {}): Checked & { next?: CheckPlace } {
    if (!table) {
      const missing = this.#readOnly ? missingFromLog(this.#path) : undefined;
      const problems = missing ? [missing] : this.#structureProblems();
      if (problems.length === 0) this.#requireChecksums();
      return { rows: 0, problems, ...(problems.length === 0 && { next: { table: TABLE_NAMES[0] ?? "runs" } }) };
    }
    const { rows, damaged, next } = this.#checked.check(table, after);
    const nextTable = TABLE_NAMES[TABLE_NAMES.indexOf(table) + 1];
    const continued = next ? { table, after: next } : nextTable && { table: nextTable };
    return { rows, problems: damaged, ...(continued && { next: continued }) };
  }

  /** Rows of a table. */
  count(table: TableName): number {
    return Number(this.#all(`SELECT COUNT(*) AS rows FROM ${table}`)[0]?.["rows"]);
  }

  /** All rows of a table, in the order of its key, a page at a time. Errors: `data_loss`. */
  pages(table: TableName): Generator<Row[]> {
    return this.#checked.pages(table);
  }

  /** How often a coordinator has started on it. */
  life(): number {
    return Number(this.#checked.read("coordinator")[0]?.["life"]);
  }

  eventLog(): Pick<RecordedEvents, "logId" | "newest" | "published"> {
    return this.#tables.eventLog();
  }

  /** Writes all of it, as it is now, to a new file. */
  backUp(path: string): void {
    this.#run("VACUUM INTO ?", [path]);
  }

  close(): void {
    this.#log?.close();
    this.#database.close();
  }

  #transaction(work: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
    this.#log?.advance();
  }

  #migrate(): void {
    const version = this.#version();
    for (const [i, migration] of MIGRATIONS.entries()) {
      if (i < version) continue;
      this.#transaction(() => {
        this.#database.exec(`${migration}; PRAGMA user_version = ${i + 1}`);
        if (i + 1 === CHECKED_VERSION) this.#checked.seal();
      });
    }
  }

  /** Errors: `failed_precondition` when a newer gradpool made it. */
  #version(): number {
    const version = Number(this.#all("PRAGMA user_version")[0]?.["user_version"]);
    if (version <= MIGRATIONS.length) return version;
    const message = `the run store ${this.#path} was made by a newer gradpool; use that version, or name another file`;
    throw new GradpoolError("failed_precondition", message);
  }

  /** Errors: `failed_precondition`. */
  #requireChecksums(): void {
    if (this.#version() >= CHECKED_VERSION) return;
    const message = `the run store ${this.#path} was made by an older gradpool, without checksums`;
    throw new GradpoolError("failed_precondition", `${message}; a coordinator that is started on it adds them`);
  }

  /** One line each: of the file as SQLite sees it, and of its tables' definitions. */
  #structureProblems(): string[] {
    const lines = this.#all(`PRAGMA integrity_check(${MAX_PROBLEMS})`).map((row) => String(row["integrity_check"]));
    if (lines[0] !== "ok") return lines;
    const version = this.#version();
    return isDeepStrictEqual(this.#all(DEFINITIONS), definitionsOf(version)) ? [] : ["the definition of a table"];
  }

  #run(sql: string, values: Value[] = []): void {
    this.#explained(() => this.#database.run(sql, values));
  }

  #all(sql: string, values: Value[] = []): Row[] {
    return this.#explained(() => this.#database.all(sql, values) as Row[]);
  }

  #explained<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw isDamage(error) ? this.#damaged(error.message) : error;
    }
  }

  #damaged(what: string): GradpoolError {
    const advice = `restore a copy that "gradpool pool backup" made, or move it away to start with an empty one`;
    return new GradpoolError("data_loss", `the run store ${this.#path} is damaged (${what}); ${advice}`);
  }
}

/** Problems that are named of one file. */
const MAX_PROBLEMS = 20;

const DEFINITIONS = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name";

/** The definitions of a store of that version. */
function definitionsOf(version: number): unknown[] {
  const database = new sqlite.Database(MEMORY);
  try {
    for (const migration of MIGRATIONS.slice(0, version)) database.exec(migration);
    return database.all(DEFINITIONS);
  } finally {
    database.close();
  }
}

const isDamage = (error: unknown): error is Error =>
  error instanceof Error && /not a database|malformed/.test(error.message);

/** Makes the names of new files durable, too. */
function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
