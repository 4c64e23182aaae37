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
import { Run, WatchRunResponse, type RunLogEntry } from "@gradpool/rpc";
import { GradpoolError } from "@gradpool/errors";
import sqlite from "node-sqlite3-wasm";
import {
  applyEventChange,
  eventsBehind,
  recordedEvents,
  runLogBehind,
  type Row,
  type Statements,
} from "./event-tables.js";
import { MIGRATIONS } from "./schema.js";
import { MAX_REQUESTS, type Change, type History, type PlacedEvent, type Recorded } from "./run-store.js";

export class SqliteDatabase {
  readonly #database: InstanceType<typeof sqlite.Database>;
  readonly #statements: Statements = {
    run: (sql, values) => this.#run(sql, values),
    all: (sql, values) => this.#all(sql, values),
  };

  /** `path`: a file that no other process uses, or ":memory:". Errors: `data_loss`, `failed_precondition`. */
  constructor(path: string) {
    // Left behind by a killed process; the store's lock ensures that no other process is alive.
    if (path !== ":memory:") rmSync(`${path}.lock`, { recursive: true, force: true });
    this.#database = new sqlite.Database(path);
    try {
      this.#database.exec("PRAGMA locking_mode = EXCLUSIVE");
      this.#database.exec("PRAGMA journal_mode = WAL");
      this.#database.exec("PRAGMA synchronous = FULL");
      const [row = {}] = this.#all("PRAGMA quick_check(1)");
      if (row["quick_check"] !== "ok") throw damaged(path, String(row["quick_check"]));
      this.#migrate(path);
    } catch (error) {
      this.#database.close();
      throw isDamage(error) ? damaged(path, error.message) : error;
    }
    if (path !== ":memory:") syncFolder(dirname(path));
  }

  /** Counts a start of the coordinator, and returns what is recorded. */
  begin(): Recorded {
    this.#transaction(() => this.#run("UPDATE coordinator SET life = life + 1"));
    return {
      life: Number(this.#all("SELECT life FROM coordinator")[0]?.["life"]),
      runs: this.#all("SELECT run FROM runs ORDER BY number").map((row) => Run.decode(row["run"] as Uint8Array)),
      requests: this.#all("SELECT request_id, content, subject FROM requests ORDER BY number").map((row) => ({
        requestId: String(row["request_id"]),
        content: String(row["content"]),
        subject: String(row["subject"]),
      })),
      drained: this.#all("SELECT trainer_id FROM drained_trainers").map((row) => String(row["trainer_id"])),
      events: recordedEvents(this.#statements),
    };
  }

  commit(changes: readonly Change[]): void {
    this.#transaction(() => {
      for (const change of changes) this.#apply(change);
    });
  }

  history(runId: string): History {
    return this.#all("SELECT entry FROM history WHERE run_id = ? ORDER BY position", [runId]).flatMap((row) => {
      const { update } = WatchRunResponse.decode(row["entry"] as Uint8Array);
      return update ? [update] : [];
    });
  }

  events(after: number, limit: number): PlacedEvent[] {
    return eventsBehind(this.#statements, after, limit);
  }

  runLog(runId: string, after: number, limit: number): RunLogEntry[] {
    return runLogBehind(this.#statements, runId, after, limit);
  }

  /** Writes all of it, as it is now, to a new file. */
  backUp(path: string): void {
    this.#run("VACUUM INTO ?", [path]);
  }

  close(): void {
    this.#database.close();
  }

  #apply(change: Change): void {
    switch (change.type) {
      case "run": {
        const { runId, state } = change.run;
        this.#run(
          `INSERT INTO runs (run_id, state, run) VALUES (?, ?, ?)
           ON CONFLICT (run_id) DO UPDATE SET state = excluded.state, run = excluded.run`,
          [runId, state, Run.encode(change.run).finish()],
        );
        break;
      }
      case "step":
        this.#append(change.runId, { $case: "step", value: change.step });
        break;
      case "evaluation":
        this.#append(change.runId, { $case: "evaluation", value: change.evaluation });
        break;
      case "checkpoint":
        this.#append(change.runId, { $case: "checkpoint", value: change.checkpoint });
        break;
      case "steps":
        this.#replaceSteps(change);
        break;
      case "request":
        this.#run("INSERT OR IGNORE INTO requests (request_id, content, subject) VALUES (?, ?, ?)", [
          change.requestId,
          change.content,
          change.subject,
        ]);
        this.#run("DELETE FROM requests WHERE number <= (SELECT MAX(number) FROM requests) - ?", [MAX_REQUESTS]);
        break;
      case "drained":
        if (change.draining) this.#run("INSERT OR IGNORE INTO drained_trainers VALUES (?)", [change.trainerId]);
        else this.#run("DELETE FROM drained_trainers WHERE trainer_id = ?", [change.trainerId]);
        break;
      default:
        applyEventChange(this.#statements, change);
    }
  }

  #append(runId: string, update: History[number]): void {
    const entry = WatchRunResponse.encode({ update }).finish();
    const step = update.$case === "step" ? update.value.step : null;
    this.#run("INSERT INTO history (run_id, step, entry) VALUES (?, ?, ?)", [runId, step, entry]);
  }

  /** Steps recorded already keep their place among the checkpoints; later ones are removed. */
  #replaceSteps({ runId, steps, evaluations }: Change & { type: "steps" }): void {
    this.#run("DELETE FROM history WHERE run_id = ? AND step > ?", [runId, steps.length]);
    const [row] = this.#all("SELECT COUNT(step) AS known FROM history WHERE run_id = ?", [runId]);
    for (const step of steps.slice(Number(row?.["known"]))) this.#append(runId, { $case: "step", value: step });
    const known = this.#keepEvaluations(runId, evaluations.at(-1)?.step ?? 0);
    for (const value of evaluations.slice(known)) this.#append(runId, { $case: "evaluation", value });
  }

  /** Removes the evaluations after `lastStep`, and counts the others. */
  #keepEvaluations(runId: string, lastStep: number): number {
    let kept = 0;
    for (const row of this.#all("SELECT position, entry FROM history WHERE run_id = ? AND step IS NULL", [runId])) {
      const { update } = WatchRunResponse.decode(row["entry"] as Uint8Array);
      if (update?.$case !== "evaluation") continue;
      if (update.value.step <= lastStep) kept += 1;
      else this.#run("DELETE FROM history WHERE position = ?", [Number(row["position"])]);
    }
    return kept;
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
  }

  #migrate(path: string): void {
    const version = Number(this.#all("PRAGMA user_version")[0]?.["user_version"]);
    if (version > MIGRATIONS.length) {
      const message = `the run store ${path} was made by a newer gradpool; use that version, or name another file`;
      throw new GradpoolError("failed_precondition", message);
    }
    for (const [i, migration] of MIGRATIONS.entries()) {
      if (i < version) continue;
      this.#transaction(() => this.#database.exec(`${migration}; PRAGMA user_version = ${i + 1}`));
    }
  }

  #run(sql: string, values: (number | string | Uint8Array | null)[] = []): void {
    this.#database.run(sql, values);
  }

  #all(sql: string, values: (number | string | Uint8Array | null)[] = []): Row[] {
    return this.#database.all(sql, values) as Row[];
  }
}

const isDamage = (error: unknown): error is Error =>
  error instanceof Error && /not a database|malformed/.test(error.message);

function damaged(path: string, what: string): GradpoolError {
  const advice = "move it away to start with an empty one, or restore a backup";
  return new GradpoolError("data_loss", `the run store ${path} is damaged (${what}); ${advice}`);
}

/** Makes the names of new files durable, too. */
function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
