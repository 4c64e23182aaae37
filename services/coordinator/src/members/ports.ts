/** What coordinators that share a run store need from outside: PostgreSQL provides it, and a test simulates it. */
import type { Run } from "@gradpool/rpc";
import type { FindRequest } from "../record/requests.js";
import type { History, Published, Reported } from "../store/run-store.js";
import type { KnownMember, Member, OwnedRun } from "../store/postgres/membership.js";

/** Each operation is a transaction, which waits while the store cannot be used. */
export interface MembersTable {
  /** Gives the member's life. `check`: looks at those that live; its error is the caller's. */
  join(member: Member, leaseMs: number, check: (members: readonly KnownMember[]) => void): Promise<number>;
  /** Tells the others the member's address. */
  moveTo(id: string, address: string): Promise<void>;
  /** Whether the member is alive still. Errors: `signal`'s reason when it aborts first. */
  renew(id: string, leaseMs: number, signal: AbortSignal): Promise<boolean>;
  /** Those that live, by the order in which they joined. */
  members(): Promise<KnownMember[]>;
  /** Ends the leases that are over, but for that of `except`, and tells the others; gives the members that ended. */
  endExpired(except: string): Promise<string[]>;
  /** Forgets members that ended this long ago. */
  forget(olderThanMs: number): Promise<void>;
  /** Of all runs that have not ended; null: nobody. */
  owners(): Promise<(OwnedRun & { owner: string | null })[]>;
  /** Gives a member up to `limit` of the runs that nobody owns who is alive. */
  takeRuns(id: string, limit: number): Promise<OwnedRun[]>;
  /** Makes the member the one that publishes events. Gives the epoch; undefined: another that lives is. */
  holdPublisher(id: string): Promise<number | undefined>;
  giveUpRuns(id: string, runIds: readonly string[]): Promise<void>;
  /** Errors: `unavailable` when the store cannot be used for `patienceMs`. */
  giveUpAllRuns(id: string, patienceMs: number): Promise<void>;
  /** As giveUpAllRuns; the member is not alive afterwards. One that was declared dead is a survivor. */
  leave(id: string, patienceMs: number): Promise<void>;
  /** `onTold` is called when members tell something, and when something may have been missed; until `signal` aborts. */
  listen(onTold: () => void, signal: AbortSignal): Promise<void>;
}

/** What others record. */
export interface SharedReader {
  request: FindRequest;
  /** Undefined: all runs. */
  owned(runIds: readonly string[] | undefined): Promise<{ run: Run; owner: string | null; epoch: number }[]>;
  /** What these runs have reported. */
  reported(runIds: readonly string[]): Promise<Map<string, Reported>>;
  history(runId: string): Promise<History>;
  /** The lives of members that lost their lease and then said so. */
  survivors(): Promise<ReadonlySet<number>>;
  drained(): Promise<string[]>;
  newestEvent(): Promise<number>;
  published(): Promise<Published>;
}

/** As Database.listen. */
export type Listen = (
  channel: string,
  onMessage: (payload: string) => void,
  onConnected: () => void,
  signal: AbortSignal,
) => Promise<void>;
