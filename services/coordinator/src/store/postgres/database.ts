/**
 * A few connections to whichever of several PostgreSQL servers accepts writes. Work is done again when its connection is
 * lost, the servers fail over, or two transactions are in each other's way; so it must be safe to repeat.
 *
 * Statements of a transaction are sent without waiting for one another's results. They are short: a server ends a
 * transaction whose client is silent, and a client a connection whose server is.
 */
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { Backoff, type Logger } from "@gradpool/service-kit";
import pg from "pg";
import { describe, tlsOptions, type PostgresAddress, type PostgresHost } from "./address.js";
import { passwordIn } from "./password-file.js";

/** Between attempts. */
const PAUSES = { firstMs: 50, longestMs: 2_000 };

/** Longest time until a server has answered: it is lost otherwise. */
const CONNECT_MS = 5_000;
const ANSWER_MS = 10_000;

/** Longest wait of a statement for another transaction, and of a transaction for the rest of its statements. */
const LOCK_MS = 8_000;
const SILENCE_MS = 3_000;

export type Values = readonly (number | string | boolean | Uint8Array | Date | null)[];
export type Rows = Record<string, unknown>[];

/** Statements on one connection: their results come in order. `text` has $1, $2, ... for the values. */
export interface Sql {
  (text: string, values?: Values): Promise<Rows>;
}

export interface DatabaseOptions {
  log: Logger;
  /** Connections at most; 1 unless given. */
  size?: number;
  /** How long statements may take; ANSWER_MS unless given. */
  answerMs?: number;
}

export interface Patience {
  /** Attempts end with it. */
  signal?: AbortSignal | undefined;
  /** How long attempts may fail; forever unless given. */
  patienceMs?: number;
}

export class Database implements AsyncDisposable {
  readonly address: PostgresAddress;
  /** Each statement in a transaction of its own. */
  readonly sql: Sql = (text, values) => this.query(text, values);
  readonly #options: DatabaseOptions;
  readonly #pool: pg.Pool;
  readonly #closing = new AbortController();
  /** Of the host that is tried. */
  #host = 0;
  /** A server said that it has no TLS, and the mode is "prefer". */
  #withoutTls = false;
  #isLost = false;

  constructor(address: PostgresAddress, options: DatabaseOptions) {
    this.address = address;
    this.#options = options;
    this.#pool = new pg.Pool({
      max: options.size ?? 1,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: CONNECT_MS,
      Client: this.#clientClass(),
    });
    // Connections that are lost while nobody uses them.
    this.#pool.on("error", () => {});
  }

  /** One statement. Errors: `unavailable` when patience ends, and PostgreSQL's own. */
  async query(text: string, values: Values = [], patience: Patience = {}): Promise<Rows> {
    return this.#withConnection((sql) => sql(text, values), patience);
  }

  /**
   * All of `work` or nothing, durable once it resolves. `work` need not wait for its statements: one that fails undoes all. It may
   * be done several times, and, when the connection is lost at its end, once more after it took effect. Errors: those of
   * `work` and its statements, and as `query`.
   */
  transaction<T>(work: (sql: Sql) => Promise<T>, patience: Patience = {}): Promise<T> {
    return this.#withConnection(async (sql) => {
      // Not those that succeeded: there may be very many.
      const sent = new Set<Promise<Rows>>();
      const send: Sql = (text, values) => {
        const answered = sql(text, values);
        sent.add(answered);
        answered.then(() => sent.delete(answered)).catch(() => {});
        return answered;
      };
      void send("BEGIN");
      try {
        const result = await work(send);
        // Undoes it all if a statement before failed.
        void send("COMMIT");
        await Promise.all(sent);
        return result;
      } catch (error) {
        await sql("ROLLBACK").catch(() => {});
        throw error;
      }
    }, patience);
  }

  /**
   * Hears what is sent to a channel until `signal` aborts; `onConnected` is called whenever it listens again: what was sent before
   * may have been missed.
   */
  async listen(
    channel: string,
    onMessage: (payload: string) => void,
    onConnected: () => void,
    signal: AbortSignal,
  ): Promise<void> {
    const backoff = new Backoff(PAUSES);
    const over = AbortSignal.any([signal, this.#closing.signal]);
    while (!over.aborted) {
      try {
        await this.#onClient(async (client) => {
          client.on("notification", ({ payload = "" }) => onMessage(payload));
          await client.query(`LISTEN ${channel}`);
          backoff.reset();
          onConnected();
          const ended = new AbortController();
          client.once("end", () => ended.abort());
          const awake = AbortSignal.any([over, ended.signal]);
          // A server that is gone says nothing.
          while (!over.aborted) {
            await delay(CONNECT_MS, undefined, { signal: awake }).catch(() => {});
            await client.query("SELECT 1");
          }
        }, over);
      } catch (error) {
        if (over.aborted) return;
        if (!isPassing(error)) throw error;
        await backoff.pause(over).catch(() => {});
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#pool.end();
  }

  async #withConnection<T>(work: (sql: Sql) => Promise<T>, { signal, patienceMs = Infinity }: Patience): Promise<T> {
    const { log } = this.#options;
    const backoff = new Backoff(PAUSES);
    const over = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal;
    const begunMs = performance.now();
    for (;;) {
      try {
        const result = await this.#once(work);
        if (this.#isLost) log.info({ store: describe(this.address) }, "the run store can be used again");
        this.#isLost = false;
        return result;
      } catch (error) {
        if (isConflict(error)) continue;
        if (!isPassing(error) || (patienceMs < Infinity && isRefusal(error))) throw this.#explained(error);
        if (over.aborted || performance.now() - begunMs >= patienceMs) throw this.#unavailable(error);
        if (!this.#isLost) log.error({ err: error }, "the run store cannot be used; all runs wait until it can");
        this.#isLost = true;
        await backoff.pause(over).catch(() => {});
      }
    }
  }

  #once<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#onClient((client) =>
      work(async (text, values = []) => {
        const prepared = values.length > 0 && { name: nameOf(text) };
        return (await client.query<Rows[number]>({ text, values: [...values], ...prepared })).rows;
      }),
    );
  }

  /** With `only` the connection ends with it, and serves nothing else. */
  async #onClient<T>(work: (client: pg.PoolClient) => Promise<T>, only?: AbortSignal): Promise<T> {
    const client = await this.#connect();
    let failure: unknown;
    try {
      return await work(client);
    } catch (error) {
      if (isPassing(error) && !isConflict(error)) failure = error;
      throw error;
    } finally {
      client.release(failure !== undefined || only !== undefined);
      if (failure !== undefined && !only?.aborted) this.#tryNextHost();
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      const hasNoTls = error instanceof Error && /does not support SSL/.test(error.message);
      if (!hasNoTls || this.address.tls !== "prefer" || this.#withoutTls) {
        this.#tryNextHost();
        throw error;
      }
      this.#withoutTls = true;
      return this.#connect();
    }
  }

  #tryNextHost(): void {
    this.#host = (this.#host + 1) % this.address.hosts.length;
  }

  #nextHost(): PostgresHost {
    const host = this.address.hosts[this.#host];
    if (!host) throw new Error("a PostgreSQL has at least one host");
    return host;
  }

  /** Clients of the host whose turn it is. */
  #clientClass(): new () => pg.Client {
    const configOf = () => this.#configOf(this.#nextHost());
    return class extends pg.Client {
      constructor() {
        super(configOf());
        // Without a listener an error would end the process.
        this.on("error", () => {});
      }

      /** Errors: besides the connection's, that the server takes no writes. */
      override connect(): Promise<this>;
      override connect(callback: (error: Error) => void): void;
      override connect(callback?: (error: Error) => void): Promise<this> | void {
        const connected = this.#connectToPrimary();
        if (!callback) return connected.then(() => this);
        connected.then(
          () => (callback as (error?: Error) => void)(),
          (error: unknown) => callback(error as Error),
        );
      }

      async #connectToPrimary(): Promise<void> {
        await super.connect();
        const { rows } = await this.query<{ transaction_read_only: string }>("SHOW transaction_read_only");
        if (rows[0]?.transaction_read_only === "off") return;
        void this.end();
        throw new ReadOnlyServer(this.host, this.port);
      }
    };
  }

  #configOf({ host, port }: PostgresHost): pg.ClientConfig {
    const { user, database, passwordFile, applicationName } = this.address;
    // Each time, since the file may change.
    const password = () => this.address.password ?? passwordIn(passwordFile, { host, port, database, user }) ?? "";
    const tls = this.#withoutTls ? undefined : tlsOptions(this.address, { host, port });
    return {
      ...{ host, port, user, database, password, application_name: applicationName, ssl: tls ?? false },
      ...{ pipeline: true, keepAlive: true, keepAliveInitialDelayMillis: ANSWER_MS },
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: this.#options.answerMs ?? ANSWER_MS,
      ...{ lock_timeout: LOCK_MS, idle_in_transaction_session_timeout: SILENCE_MS },
      types: { getTypeParser },
    };
  }

  #unavailable(cause: unknown): GradpoolError {
    const message = `the run store ${describe(this.address)} cannot be used (${reasonOf(cause)})`;
    return new GradpoolError("unavailable", `${message}; check that PostgreSQL runs there`, { cause });
  }

  #explained(error: unknown): unknown {
    if (!isRefusal(error)) return error;
    const message = `the run store ${describe(this.address)} cannot be used (${reasonOf(error)})`;
    return new GradpoolError("failed_precondition", `${message}; check the user, the password and the database`, {
      cause: error,
    });
  }
}

class ReadOnlyServer extends Error {
  readonly code = "25006";

  constructor(host: string, port: number) {
    super(`${host}:${port} takes no writes: it is a standby`);
  }
}

/** int8 as numbers: positions and counts stay far below 2^53. */
const getTypeParser: pg.CustomTypesConfig["getTypeParser"] = (oid: number, format?: string) => {
  if (oid === (pg.types.builtins.INT8 as number)) return Number;
  return pg.types.getTypeParser(oid, format as "text") as (value: string) => unknown;
};

/** Names of prepared statements, by their text. */
const names = new Map<string, string>();

function nameOf(text: string): string {
  const name = names.get(text) ?? `gradpool_${names.size + 1}`;
  names.set(text, name);
  return name;
}

/** PostgreSQL's codes (https://www.postgresql.org/docs/current/errcodes-appendix.html) and Node's. */
const codeOf = (error: unknown): string => {
  const code = error instanceof Error && "code" in error ? error.code : "";
  return typeof code === "string" ? code : "";
};

/** Two transactions were in each other's way, and this one was undone. */
const isConflict = (error: unknown): boolean => ["40001", "40P01"].includes(codeOf(error));

/** Of the user, the password, the database, or what the user may do. */
const isRefusal = (error: unknown): boolean => /^(28...|3D000|42501)$/.test(codeOf(error));

/** Statements, data and our own exceptions that will not be right another time. */
const BROKEN = /^(0[ABFLPZ]|2[0-4]|2[B-F]|3[4-9]|3B|3F|42|44|P0|GP)...$/;

/** What pg says of connections, without a code. */
const LOST =
  /^(Connection terminated|timeout e|Query read timeout|Client (has encountered|was closed)|The server does not)/;

/** Whether it may pass: the server, its machine or the network is at fault, not what was asked. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof GradpoolError || error instanceof TypeError) return false;
  const code = codeOf(error);
  return code === "" ? LOST.test(error.message) : !BROKEN.test(code);
}

/** Of several addresses of a host, none has a message. */
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message || codeOf(error) : String(error));

/** Texts as a statement's value, as PostgreSQL writes an array. */
export const arrayOf = (texts: readonly string[]): string => `{${texts.map((one) => JSON.stringify(one)).join(",")}}`;
