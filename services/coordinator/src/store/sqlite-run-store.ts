import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import { Backoff, type Logger } from "@gradpool/service-kit";
import type { RunLogEntry } from "@gradpool/rpc";
import type { Change, Checked, History, PlacedEvent, PlacedUpdate, Recorded, RunStore } from "./run-store.js";
import type { CheckPlace, SqliteDatabase } from "./sqlite-database.js";
import type { StoreAnswer, StoreRequest } from "./sqlite-worker.js";
import { lockStore } from "./store-lock.js";

/** Between attempts to write while the disk is full. */
const PAUSES = { firstMs: 250, longestMs: 5_000 };

type Job = { resolve: (value: unknown) => void; reject: (error: unknown) => void };
type Work = StoreRequest extends infer R ? (R extends unknown ? Omit<R, "id"> : never) : never;

/** Follows the run store's name in the names of copies being made. */
const COPY = ".backup-";

interface Parts {
  file: string;
  recorded: Recorded;
  isDurable: boolean;
  worker: Worker;
  jobs: Map<number, Job>;
  unlock: () => void;
}

/** The run store as a SQLite file; see sqlite-database.ts. */
export class SqliteRunStore implements RunStore {
  readonly recorded: Recorded;
  readonly isDurable: boolean;
  readonly #file: string;
  readonly #worker: Worker;
  readonly #jobs: Map<number, Job>;
  readonly #unlock: () => void;
  readonly #log: Logger;
  readonly #closing = new AbortController();
  #lastId = 0;
  #copies = 0;

  private constructor(parts: Parts, log: Logger) {
    this.recorded = parts.recorded;
    this.isDurable = parts.isDurable;
    this.#file = parts.file;
    this.#worker = parts.worker;
    this.#jobs = parts.jobs;
    this.#unlock = parts.unlock;
    this.#log = log;
  }

  /**
   * Opens the file, or creates it; without a path, a store in memory. Errors:
   * `failed_precondition` when another coordinator uses it or a newer gradpool made it, `data_loss` when it
   * is damaged, `permission_denied` when it cannot be written.
   */
  static async open(path: string | undefined, log: Logger): Promise<SqliteRunStore> {
    const file = path === undefined ? ":memory:" : resolve(path);
    let unlock = () => {};
    if (path !== undefined) {
      try {
        mkdirSync(dirname(file), { recursive: true });
        unlock = lockStore(file);
        removeCopies(file);
      } catch (cause) {
        if (cause instanceof GradpoolError) throw cause;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new GradpoolError("permission_denied", `the run store cannot be opened: ${reason}; name another file`, {
          cause,
        });
      }
    }
    const jobs = new Map<number, Job>();
    const worker = new Worker(new URL("./sqlite-worker.js", import.meta.url), { workerData: { path: file } });
    worker.on("message", (answer: StoreAnswer) => settle(jobs, answer));
    worker.on("error", (error) => {
      for (const { reject } of jobs.values()) reject(error);
    });
    try {
      const recorded = (await new Promise<unknown>((resolveJob, reject) => {
        jobs.set(0, { resolve: resolveJob, reject });
      })) as Recorded;
      return new SqliteRunStore({ file, recorded, isDurable: path !== undefined, worker, jobs, unlock }, log);
    } catch (error) {
      await worker.terminate();
      unlock();
      throw error;
    }
  }

  /** Waits while the disk is full or cannot be written: nothing is confirmed before it is recorded. */
  async commit(changes: readonly Change[]): Promise<number> {
    const backoff = new Backoff(PAUSES);
    for (;;) {
      try {
        return (await this.#ask({ type: "commit", changes })) as number;
      } catch (error) {
        const { signal } = this.#closing;
        if (signal.aborted || GradpoolError.from(error).code !== "resource_exhausted") throw error;
        this.#log.error({ err: error }, "the run store cannot be written; all runs wait until it can");
        await backoff.pause(signal);
      }
    }
  }

  async history(runId: string): Promise<History> {
    return (await this.#ask({ type: "history", runId })) as History;
  }

  async historyPage(runId: string, after: number, limit: number): Promise<PlacedUpdate[]> {
    return (await this.#ask({ type: "history-page", runId, after, limit })) as PlacedUpdate[];
  }

  async events(after: number, limit: number): Promise<PlacedEvent[]> {
    return (await this.#ask({ type: "events", after, limit })) as PlacedEvent[];
  }

  async runLog(runId: string, after: number, limit: number): Promise<RunLogEntry[]> {
    return (await this.#ask({ type: "run-log", runId, after, limit })) as RunLogEntry[];
  }

  async *check(): AsyncGenerator<Checked> {
    let place: CheckPlace | undefined;
    do {
      const { next, ...checked } = (await this.#ask({ type: "check", place })) as ReturnType<SqliteDatabase["check"]>;
      yield checked;
      place = next;
    } while (place);
  }

  /** The copy is next to the store: without space for it, the store has none either. */
  async backUp(): Promise<FileHandle> {
    if (!this.isDurable) {
      const advice = "start the coordinator with GRADPOOL_STORE, or gradpool up with a --port";
      throw new GradpoolError("failed_precondition", `the pool keeps its runs in memory, not in a file; ${advice}`);
    }
    const path = `${this.#file}${COPY}${++this.#copies}`;
    try {
      await this.#ask({ type: "back-up", path });
      return await open(path);
    } finally {
      await rm(path, { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#ask({ type: "close" });
    await this.#worker.terminate();
    this.#unlock();
  }

  #ask(work: Work): Promise<unknown> {
    const id = ++this.#lastId;
    const answered = new Promise((resolveJob, reject) => this.#jobs.set(id, { resolve: resolveJob, reject }));
    this.#worker.postMessage({ ...work, id } satisfies StoreRequest);
    return answered;
  }
}

function settle(jobs: Map<number, Job>, answer: StoreAnswer): void {
  const job = jobs.get(answer.id);
  jobs.delete(answer.id);
  if (answer.type === "done") job?.resolve(answer.value);
  else job?.reject(new GradpoolError(answer.code, answer.message));
}

/** Copies that a coordinator was making when it was killed. */
function removeCopies(file: string): void {
  const folder = dirname(file);
  const copies = readdirSync(folder).filter((name) => name.startsWith(`${basename(file)}${COPY}`));
  for (const name of copies) rmSync(join(folder, name), { recursive: true });
}
