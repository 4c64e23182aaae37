import type { FileHandle } from "node:fs/promises";
import { GradpoolError } from "@gradpool/errors";
import type { Logger } from "@gradpool/service-kit";
import type { RunLogEntry } from "@gradpool/rpc";
import { applyChange } from "../rules.js";
import type { Change, Checked, History, PlacedEvent, PlacedUpdate, Recorded, RunStore } from "../run-store.js";
import { describe, type PostgresAddress } from "./address.js";
import { Database, type Sql } from "./database.js";
import { leave } from "./membership.js";
import { migrate } from "./migrations.js";
import { PostgresReader } from "./postgres-reader.js";
import { PostgresTables } from "./postgres-tables.js";

/** Connections for reading; commits and the lease have one each. */
const READING_CONNECTIONS = 4;

/** How long a coordinator that was declared dead tries to say that it was not. */
const LEAVING_MS = 1_000;

/** How long a coordinator that starts waits for PostgreSQL. */
const OPEN_MS = 20_000;

/** Whose commits they are. It leaves when it is disposed. */
export interface StoreMember extends AsyncDisposable {
  readonly id: string;
  /** A number that no member had before. */
  readonly life: number;
}

/** Of the membership: one hears what others tell. */
const LEASE_CONNECTIONS = 2;

interface Parts {
  member: StoreMember;
  recorded: Recorded;
  reader: PostgresReader;
  databases: { commits: Database; reads: Database; lease: Database };
}

/**
 * The run store in PostgreSQL. Its commits are those of a member (membership.ts): each begins with a proof that the member is alive
 * and that this is its next one. So a coordinator whose runs were taken over records nothing, and a commit that is repeated
 * after its connection was lost takes effect once.
 */
export class PostgresRunStore implements RunStore {
  readonly recorded: Recorded;
  readonly isDurable = true;
  readonly reader: PostgresReader;
  readonly #member: StoreMember;
  readonly #databases: Parts["databases"];
  readonly #closing = new AbortController();
  #commits = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor({ member, recorded, reader, databases }: Parts) {
    this.recorded = recorded;
    this.#member = member;
    this.reader = reader;
    this.#databases = databases;
  }

  /**
   * Creates the tables if they are not there. `join`: joins the members that share the store, once its tables are there. Errors:
   * those of `join`, `unavailable`, `failed_precondition` when a newer gradpool made it, `data_loss` when it is damaged.
   */
  static async open(
    address: PostgresAddress,
    log: Logger,
    join: (database: Database) => Promise<StoreMember>,
  ): Promise<PostgresRunStore> {
    const databaseOf = (size: number) => new Database(address, { log, size });
    const databases = {
      commits: databaseOf(1),
      reads: databaseOf(READING_CONNECTIONS),
      lease: databaseOf(LEASE_CONNECTIONS),
    };
    let member: StoreMember | undefined;
    try {
      await migrate(databases.commits, { patienceMs: OPEN_MS });
      member = await join(databases.lease);
      const reader = new PostgresReader(databases.reads);
      const recorded = { life: member.life, ...(await reader.recorded()) };
      return new PostgresRunStore({ member, recorded, reader, databases });
    } catch (error) {
      await member?.[Symbol.asyncDispose]();
      await closeAll(databases);
      throw error;
    }
  }

  /** Waits while PostgreSQL cannot be used. Errors: `aborted` when its runs were taken over, and `failed_precondition`. */
  commit(changes: readonly Change[]): Promise<number> {
    const committed = this.#last.then(() => this.#commit(changes));
    this.#last = committed.catch(() => {});
    return committed;
  }

  history(runId: string): Promise<History> {
    return this.reader.history(runId);
  }

  historyPage(runId: string, after: number, limit: number): Promise<PlacedUpdate[]> {
    return this.reader.historyPage(runId, after, limit);
  }

  events(after: number, limit: number): Promise<PlacedEvent[]> {
    return this.reader.events(after, limit);
  }

  runLog(runId: string, after: number, limit: number): Promise<RunLogEntry[]> {
    return this.reader.runLog(runId, after, limit);
  }

  check(): AsyncIterable<Checked> {
    return this.reader.check();
  }

  backUp(): Promise<FileHandle> {
    const where = describe(this.#databases.commits.address);
    const message = `the pool keeps its runs in PostgreSQL, not in a file; copy them with pg_dump --schema=gradpool ${where}`;
    return Promise.reject(new GradpoolError("failed_precondition", message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#last;
    await this.#member[Symbol.asyncDispose]();
    await closeAll(this.#databases);
  }

  async #commit(changes: readonly Change[]): Promise<number> {
    const number = this.#commits + 1;
    const { signal } = this.#closing;
    const write = (sql: Sql) => this.#write(sql, number, changes);
    let newest: number;
    try {
      const answer = await this.#databases.commits.transaction(write, { signal });
      newest = await answer.newest();
    } catch (error) {
      if (!(await this.#isRecorded(error, number))) {
        if (hasCode(error, "GP001")) await this.#leave();
        throw this.#explained(error);
      }
      newest = await this.reader.newestEvent({ signal });
    }
    this.#commits = number;
    return newest;
  }

  async #write(sql: Sql, number: number, changes: readonly Change[]): Promise<{ newest: () => Promise<number> }> {
    void sql("SELECT gradpool.begin_commit($1, $2)", [this.#member.id, number]);
    const tables = new PostgresTables(sql, this.#member.id);
    // Events last: from the first one on, the commits of other members wait.
    const isEvent = ({ type }: Change) => type === "event" || type === "forget-events";
    for (const change of changes) if (!isEvent(change)) await applyChange(tables, change);
    for (const change of changes) if (isEvent(change)) await applyChange(tables, change);
    tables.tell();
    const log = sql("SELECT newest FROM gradpool.event_log");
    return { newest: async () => Number((await log)[0]?.["newest"]) };
  }

  /** Whether a commit failed because an attempt whose answer was lost had recorded it. */
  async #isRecorded(error: unknown, number: number): Promise<boolean> {
    if (!hasCode(error, "GP001")) return false;
    const [row] = await this.#databases.commits.query("SELECT commits FROM gradpool.coordinators WHERE id = $1", [
      this.#member.id,
    ]);
    return row?.["commits"] === number;
  }

  /** It was declared dead, and did not end by itself. */
  async #leave(): Promise<void> {
    const left = this.#databases.lease.transaction((sql) => leave(sql, this.#member.id), { patienceMs: LEAVING_MS });
    await left.catch(() => {});
  }

  #explained(error: unknown): unknown {
    if (hasCode(error, "GP001") || hasCode(error, "GP002")) {
      const problem = "this coordinator was not heard of for longer than its lease, and its runs were taken over";
      return new GradpoolError("aborted", `${problem}; it records nothing more: start it again`, { cause: error });
    }
    if (isViolationOf(error, "one_unfinished_run_in_a_folder")) {
      const problem = "the output_dir is in use by a run of another coordinator";
      return new GradpoolError("failed_precondition", `${problem}; choose another output_dir, or cancel that run`);
    }
    if (isViolationOf(error, "requests_pkey")) {
      const problem = "another coordinator has the same request_id at the same time";
      return new GradpoolError("already_exists", `${problem}; try again`, { cause: error });
    }
    return error;
  }
}

async function closeAll(databases: Parts["databases"]): Promise<void> {
  await Promise.all(Object.values(databases).map((database) => database[Symbol.asyncDispose]()));
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;

const isViolationOf = (error: unknown, constraint: string): boolean =>
  error instanceof Error && "constraint" in error && error.constraint === constraint;
