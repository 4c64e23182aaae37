/**
 * Rows with checksums in SQLite: each ends with a checksum of its other columns, which is compared whenever the row is read.
 */
import { visible } from "@gradpool/format";
import { checksumOf, type Row, type Value } from "./checksum.js";

export type { Row, Value };

/** What is needed of the database. */
export interface Statements {
  run(sql: string, values?: Value[]): void;
  all(sql: string, values?: Value[]): Row[];
}

/** A table's columns besides the checksum; the first `key` of them are its primary key. */
interface Shape {
  key: number;
  columns: readonly string[];
}

const TABLES = {
  coordinator: { key: 1, columns: ["one", "life"] },
  runs: { key: 1, columns: ["number", "run_id", "state", "run"] },
  history: { key: 1, columns: ["position", "run_id", "step", "entry"] },
  requests: { key: 1, columns: ["number", "request_id", "content", "subject"] },
  drained_trainers: { key: 1, columns: ["trainer_id"] },
  event_log: { key: 1, columns: ["one", "log_id", "published", "stream"] },
  events: { key: 1, columns: ["position", "event"] },
  told: { key: 1, columns: ["run_id", "events", "step", "evaluation", "checkpoint"] },
  run_log: { key: 2, columns: ["run_id", "number", "entry"] },
} as const satisfies Record<string, Shape>;

export type TableName = keyof typeof TABLES;

export const TABLE_NAMES = Object.keys(TABLES) as TableName[];

/** Rows that are read at a time where all are read. */
const PAGE_ROWS = 200;

/** A place in a table: the primary key of a row. */
export type Place = Value[];

export class CheckedTables {
  readonly #statements: Statements;
  readonly #damaged: (what: string) => Error;

  /** `damaged` gives the error for damage, from what is damaged. */
  constructor(statements: Statements, damaged: (what: string) => Error) {
    this.#statements = statements;
    this.#damaged = damaged;
  }

  /** Adds a row, or replaces the one with the same key. `values`: of all columns, in order. */
  put(table: TableName, values: Value[]): void {
    const marks = [...values, ""].map(() => "?").join(", ");
    this.#statements.run(`INSERT OR REPLACE INTO ${table} VALUES (${marks})`, [...values, checksumOf(table, values)]);
  }

  /** The rows that `rest`, what follows FROM in a query, selects. Errors: that of `damaged`, for the first damaged row. */
  read(table: TableName, rest = "", values: Value[] = []): Row[] {
    return this.#intact(table, this.#statements.all(`SELECT * FROM ${table} ${rest}`, values));
  }

  /** What is damaged of a page, one line a row, how many rows it has, and where the next page begins, if there is one. */
  check(table: TableName, after?: Place): { rows: number; damaged: string[]; next?: Place } {
    const rows = this.#page(table, after);
    const damaged = rows.filter((row) => !isIntact(table, row)).map((row) => problemOf(table, row));
    const last = rows.length === PAGE_ROWS ? rows.at(-1) : undefined;
    return { rows: rows.length, damaged, ...(last && { next: placeOf(table, last) }) };
  }

  /** All rows in the order of their key, a page at a time. Errors: that of `damaged`. */
  *pages(table: TableName): Generator<Row[]> {
    for (const page of this.#pages(table)) yield this.#intact(table, page);
  }

  /** Gives all rows their checksums, whatever they hold. */
  seal(): void {
    for (const table of TABLE_NAMES) {
      for (const page of this.#pages(table)) for (const row of page) this.put(table, valuesOf(table, row));
    }
  }

  #intact(table: TableName, rows: Row[]): Row[] {
    const damaged = rows.find((row) => !isIntact(table, row));
    if (damaged) throw this.#damaged(problemOf(table, damaged));
    return rows;
  }

  *#pages(table: TableName): Generator<Row[]> {
    for (let page = this.#page(table); page.length > 0; page = this.#page(table, placeOf(table, page.at(-1) ?? {}))) {
      yield page;
    }
  }

  #page(table: TableName, after?: Place): Row[] {
    const key = TABLES[table].columns.slice(0, TABLES[table].key).join(", ");
    const where = after ? `WHERE (${key}) > (${after.map(() => "?").join(", ")})` : "";
    return this.#statements.all(`SELECT * FROM ${table} ${where} ORDER BY ${key} LIMIT ${PAGE_ROWS}`, after);
  }
}

const valuesOf = (table: TableName, row: Row): Value[] => TABLES[table].columns.map((column) => row[column] ?? null);
const placeOf = (table: TableName, row: Row): Place => valuesOf(table, row).slice(0, TABLES[table].key);

function isIntact(table: TableName, row: Row): boolean {
  const { checksum } = row;
  return checksum instanceof Uint8Array && checksumOf(table, valuesOf(table, row)).equals(checksum);
}

const problemOf = (table: TableName, row: Row): string => `${nameOf(table, row)} is not what was written`;

/** For people: the run it is about, or its key. */
function nameOf(table: TableName, row: Row): string {
  const text = (column: string) => visible(String(row[column]).slice(0, 100));
  const key = placeOf(table, row)
    .map((value) => visible(String(value)).slice(0, 100))
    .join(" ");
  switch (table) {
    case "runs":
      return `the record of run ${text("run_id")}`;
    case "history":
    case "run_log":
    case "told":
      return `row ${key} of ${table}, of run ${text("run_id")}`;
    default:
      return `row ${key} of ${table}`;
  }
}
