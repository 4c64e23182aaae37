/** The membership of a coordinator that has the run store to itself, and all its runs. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import type { Database } from "../src/store/postgres/database.js";
import { endExpired, join, leave, members, renew, takeRuns, type Member } from "../src/store/postgres/membership.js";

const LEASE_MS = 5_000;

export class SoleMember implements AsyncDisposable {
  readonly id: string;
  readonly life: number;
  readonly #database: Database;
  readonly #leaseMs: number;
  readonly #closing = new AbortController();
  readonly #renewing: Promise<void>;

  private constructor(database: Database, id: string, life: number, leaseMs: number) {
    this.#leaseMs = leaseMs;
    this.#database = database;
    this.id = id;
    this.life = life;
    this.#renewing = this.#renew();
  }

  /** Waits for the lease of a coordinator that was killed. Errors: `failed_precondition` when another is alive. */
  static async join(database: Database, leaseMs = LEASE_MS): Promise<SoleMember> {
    const id = randomUUID();
    const begunMs = performance.now();
    for (;;) {
      try {
        const life = await joinAlone(database, { id, address: "", protocol: 1 }, leaseMs);
        return new SoleMember(database, id, life, leaseMs);
      } catch (error) {
        const isOther = error instanceof GradpoolError && error.code === "failed_precondition";
        if (!isOther || performance.now() - begunMs > 1.5 * leaseMs) throw error;
        await delay(leaseMs / 10);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#renewing;
    await this.#database.transaction((sql) => leave(sql, this.id), { patienceMs: this.#leaseMs }).catch(() => {});
  }

  async #renew(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await delay(this.#leaseMs / 3, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await renew(this.#database, this.id, this.#leaseMs, signal).catch(() => {});
    }
  }
}

/** Joins as the only member. Errors: `failed_precondition` when another is alive and its lease is not over. */
async function joinAlone(database: Database, member: Member, leaseMs: number): Promise<number> {
  return database.transaction(async (sql) => {
    await sql("LOCK TABLE gradpool.coordinators IN SHARE ROW EXCLUSIVE MODE");
    await endExpired(sql, member.id);
    const [other] = await members(sql);
    if (other) {
      const message = `the run store is in use by the coordinator at ${other.address}`;
      throw new GradpoolError("failed_precondition", `${message}; stop that coordinator, or name another database`);
    }
    const life = await join(sql, member, leaseMs);
    await takeRuns(sql, member.id, Number.MAX_SAFE_INTEGER);
    return life;
  });
}
