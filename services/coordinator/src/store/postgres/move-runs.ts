/** Moves all that a run store in SQLite holds to PostgreSQL: all of it or nothing, compared row by row before it counts. */
import { isDeepStrictEqual } from "node:util";
import { GradpoolError } from "@gradpool/errors";
import { Run } from "@gradpool/rpc";
import { hasEnded } from "../../record/run-record.js";
import type { TableName } from "../checked-tables.js";
import type { Row, Value } from "../checksum.js";
import type { CheckPlace, SqliteDatabase } from "../sqlite-database.js";
import { describe } from "./address.js";
import type { Database, Patience, Rows, Sql } from "./database.js";
import { migrate } from "./migrations.js";
import { folderKey, keyOf } from "./postgres-tables.js";
import { POSTGRES_TABLES, rowChecksum, type PostgresTable } from "./table-shapes.js";

/** How far the move is; `rows` of `of` in all tables, which are first looked at, then copied, then compared. */
export interface Progress {
  doing: "looking" | "copying" | "comparing";
  rows: number;
  of: number;
}

type NewRow = Record<string, Value | boolean>;

/** How a table's rows in PostgreSQL are made from those in SQLite. */
interface Move {
  from: TableName;
  to: PostgresTable;
  rowOf: (row: Row) => NewRow;
  /** The columns by which a row is found. */
  key: readonly string[];
  /** The identity column, which continues after the largest. */
  counts?: string;
}

const bytesOf = (value: Value | undefined): Buffer =>
  typeof value === "string" ? Buffer.from(value) : Buffer.from((value as Uint8Array | undefined) ?? []);
const textOf = (value: Value | undefined): string => String(value);

const MOVES: readonly Move[] = [
  {
    ...{ from: "runs", to: "runs", key: ["run_id"], counts: "number" },
    rowOf: ({ run_id, number = null, state = null, run }) => {
      const decoded = Run.decode(bytesOf(run));
      const ended = hasEnded(decoded);
      return { run_id: run_id ?? "", number, state, ended, output_key: folderKey(decoded), run: bytesOf(run) };
    },
  },
  {
    ...{ from: "history", to: "history", key: ["run_id", "position"] },
    rowOf: ({ run_id = "", position = null, step = null, entry }) => ({
      run_id,
      position,
      step,
      entry: bytesOf(entry),
    }),
  },
  {
    ...{ from: "requests", to: "requests", key: ["request_key"], counts: "number" },
    rowOf: ({ request_id, number = null, content = "", subject }) => ({
      ...{ request_key: keyOf(textOf(request_id)), number, request_id: bytesOf(request_id) },
      ...{ content, subject: bytesOf(subject) },
    }),
  },
  {
    ...{ from: "drained_trainers", to: "drained_trainers", key: ["trainer_id"] },
    rowOf: ({ trainer_id }) => ({ trainer_id: bytesOf(trainer_id) }),
  },
  {
    ...{ from: "events", to: "events", key: ["position"] },
    rowOf: ({ position = null, event }) => ({ position, event: bytesOf(event) }),
  },
  {
    ...{ from: "told", to: "reported", key: ["run_id"] },
    rowOf: ({ run_id = "", events = null, step = null, evaluation = null, checkpoint = null }) => ({
      ...{ run_id, events, step, evaluation, checkpoint },
    }),
  },
  {
    ...{ from: "run_log", to: "run_log", key: ["run_id", "number"] },
    rowOf: ({ run_id = "", number = null, entry }) => ({ run_id, number, entry: bytesOf(entry) }),
  },
];

/**
 * `source`: opened only for reading. Where the target has the rows already, since an earlier move was interrupted at its very end, it
 * only compares. Errors: `data_loss` when the source is damaged, `failed_precondition` when the target is not empty or in
 * use, and those of `migrate`.
 */
export async function moveRuns(
  source: SqliteDatabase,
  target: Database,
  patience: Patience,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  let of: number | undefined;
  const watched = (doing: Progress["doing"]) => {
    let rows = 0;
    return (more: number) => onProgress({ doing, rows: (rows += more), of: (of ??= total(source)) });
  };
  lookAt(source, watched("looking"));
  await migrate(target, patience);
  await target.transaction(async (sql) => {
    // No coordinator joins meanwhile.
    await sql("LOCK TABLE gradpool.coordinators IN SHARE ROW EXCLUSIVE MODE");
    if (await mustBeCopied(sql, source, describe(target.address))) await copyAll(sql, source, watched("copying"));
    const comparing = watched("comparing");
    for (const move of MOVES) await compare(sql, source, move, comparing);
  }, patience);
}

const total = (source: SqliteDatabase): number => MOVES.reduce((sum, { from }) => sum + source.count(from), 0);

/** Errors: `data_loss`. */
function lookAt(source: SqliteDatabase, onRows: (rows: number) => void): void {
  for (let place: CheckPlace | undefined = {}; place;) {
    const { next, problems, rows }: ReturnType<SqliteDatabase["check"]> = source.check(place);
    const [problem] = problems;
    if (problem) {
      const advice = `restore a copy that "gradpool pool backup" made, and move that`;
      throw new GradpoolError("data_loss", `the run store is damaged (${problem}); ${advice}`);
    }
    onRows(rows);
    place = next;
  }
}

/** False: it has the same event log, and so what an earlier move copied. Errors: `failed_precondition`. */
async function mustBeCopied(sql: Sql, source: SqliteDatabase, name: string): Promise<boolean> {
  const [member] = await sql("SELECT address FROM gradpool.coordinators WHERE alive");
  if (member) throw refused(name, "is in use by a coordinator; stop it, or name an empty database");
  const [log] = await sql("SELECT log_id FROM gradpool.event_log");
  if (log?.["log_id"] === source.eventLog().logId) return false;
  for (const table of POSTGRES_TABLES) {
    const [row] = await sql(`SELECT count(*) AS rows FROM (SELECT FROM gradpool.${table} LIMIT 1) AS first`);
    if (Number(row?.["rows"]) > 0) throw refused(name, `is not empty: it has ${table}; name an empty database`);
  }
  return true;
}

const refused = (name: string, problem: string) =>
  new GradpoolError("failed_precondition", `the run store ${name} ${problem}`);

async function copyAll(sql: Sql, source: SqliteDatabase, onRows: (rows: number) => void): Promise<void> {
  for (const move of MOVES) {
    for (const page of source.pages(move.from)) {
      await Promise.all(page.map((row) => insert(sql, move, move.rowOf(row))));
      onRows(page.length);
    }
    if (move.counts) {
      await sql(
        `SELECT setval(pg_get_serial_sequence('gradpool.${move.to}', '${move.counts}'), greatest(max(${move.counts}), 1))
         FROM gradpool.${move.to}`,
      );
    }
  }
  const { logId, newest, published } = source.eventLog();
  await sql("UPDATE gradpool.event_log SET log_id = $1, newest = $2", [logId, newest]);
  await sql("UPDATE gradpool.publisher SET published = $1, stream = $2", [published.position, published.stream]);
  await sql("SELECT setval(pg_get_serial_sequence('gradpool.coordinators', 'life'), $1)", [Math.max(1, source.life())]);
}

function insert(sql: Sql, { to }: Move, row: NewRow): Promise<Rows> {
  const columns = Object.keys(row);
  const marks = columns.map((_, i) => `$${i + 1}`).join(", ");
  return sql(`INSERT INTO gradpool.${to} (${columns.join(", ")}, checksum) VALUES (${marks}, $${columns.length + 1})`, [
    ...Object.values(row),
    rowChecksum(to, row),
  ]);
}

/** Each row of a table with that of the source, in both directions. Errors: `data_loss`. */
async function compare(sql: Sql, source: SqliteDatabase, move: Move, onRows: (rows: number) => void): Promise<void> {
  let compared = 0;
  for (const page of source.pages(move.from)) {
    const same = await Promise.all(page.map((row) => isThere(sql, move, move.rowOf(row))));
    if (same.includes(false)) throw differs(move, `row ${compared + same.indexOf(false) + 1} is another there`);
    compared += page.length;
    onRows(page.length);
  }
  const [row] = await sql(`SELECT count(*) AS rows FROM gradpool.${move.to}`);
  if (row?.["rows"] !== compared) throw differs(move, `it has ${String(row?.["rows"])} rows there, of ${compared}`);
}

async function isThere(sql: Sql, { to, key }: Move, wanted: NewRow): Promise<boolean> {
  const where = key.map((column, i) => `${column} = $${i + 1}`).join(" AND ");
  const [row, ...others] = await sql(
    `SELECT * FROM gradpool.${to} WHERE ${where}`,
    key.map((column) => wanted[column] ?? null),
  );
  return (
    row !== undefined &&
    others.length === 0 &&
    isDeepStrictEqual(row["checksum"], rowChecksum(to, row)) &&
    Object.entries(wanted).every(([column, value]) => isDeepStrictEqual(row[column], value))
  );
}

const differs = (move: Move, how: string) =>
  new GradpoolError(
    "data_loss",
    `the table ${move.to} differs from the file's (${how}); name an empty database, and move again`,
  );
