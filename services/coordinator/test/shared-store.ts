/** How one simulated coordinator reaches the database that it shares: over a network that is slow or cut. */
import { GradpoolError } from "@gradpool/errors";
import type { MembersTable, SharedReader } from "../src/members/ports.js";
import type { Members } from "../src/members/members.js";
import type { RecordStore } from "../src/record/run-registry.js";
import type { Change, History, PlacedUpdate, Recorded } from "../src/store/run-store.js";
import { CHANGES_CHANNEL } from "../src/store/postgres/postgres-tables.js";
import type { SimulatedDatabase } from "./simulated-database.js";
import { SimulatedCrash } from "./simulated-store.js";

/** Between attempts to reach a database that is away. */
const RETRY_MS = 250;

export interface LinkOptions {
  database: SimulatedDatabase;
  /** Never resolves when the coordinator is down by then; waits while it is paused. */
  after: (ms: number) => Promise<void>;
  nowMs: () => number;
  /** How long a statement takes to arrive, or its answer. */
  latencyMs: () => number;
  /** And a commit to be on the disk. */
  diskMs: () => number;
  isCut: () => boolean;
  /** Whether the coordinator dies at a write, before it or after it. */
  crashes: () => boolean;
}

export class DatabaseLink {
  readonly #options: LinkOptions;
  readonly #reconnected = new Set<() => void>();
  #wasCut = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** What `work` gives. Errors: `unavailable` when it cannot be reached for `patienceMs`, or when `signal` aborts. */
  async reach<T>(
    work: (database: SimulatedDatabase) => T,
    { signal, patienceMs = Infinity }: { signal?: AbortSignal; patienceMs?: number } = {},
  ): Promise<T> {
    const { database, after, nowMs, latencyMs } = this.#options;
    const begunMs = nowMs();
    await after(latencyMs());
    while (this.#isCut()) {
      if (signal?.aborted || nowMs() - begunMs >= patienceMs) throw new GradpoolError("unavailable", "no database");
      await after(RETRY_MS);
    }
    const result = work(database);
    await after(latencyMs());
    return result;
  }

  async commit(member: string, changes: readonly Change[]): Promise<number> {
    const { after, diskMs, crashes } = this.#options;
    await after(diskMs());
    return this.reach((database) => {
      if (crashes()) throw new SimulatedCrash();
      const newest = database.commit(member, changes);
      if (crashes()) throw new SimulatedCrash();
      return newest;
    });
  }

  /** As Database.listen: what is said while the link is cut is missed. */
  async listen(
    wanted: "members" | "changes",
    onMessage: (payload: string) => void,
    onConnected: () => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { database, after, latencyMs } = this.#options;
    const stop = database.listen((what) => {
      if (signal.aborted || (what === "members") !== (wanted === "members") || this.#isCut()) return;
      const message = what === "members" ? "" : `${what.member} ${what.runId}`;
      void after(latencyMs()).then(() => signal.aborted || onMessage(message));
    });
    this.#reconnected.add(onConnected);
    await this.reach(onConnected, { signal }).catch(() => {});
    await new Promise<void>((done) => {
      if (signal.aborted) return done();
      signal.addEventListener("abort", () => done(), { once: true });
    });
    stop();
    this.#reconnected.delete(onConnected);
  }

  #isCut(): boolean {
    if (this.#options.isCut()) return (this.#wasCut = true);
    if (this.#wasCut) for (const onConnected of this.#reconnected) onConnected();
    return (this.#wasCut = false);
  }
}

export const membersTable = (link: DatabaseLink): MembersTable => ({
  join: (member, leaseMs, check) =>
    link.reach((database) => {
      check(database.members());
      return database.join(member, leaseMs);
    }),
  moveTo: (id, address) => link.reach((database) => database.moveTo(id, address)),
  renew: (id, leaseMs, signal) => link.reach((database) => database.renew(id, leaseMs), { signal }),
  members: () => link.reach((database) => database.members()),
  endExpired: (except) => link.reach((database) => database.endExpired(except)),
  forget: () => Promise.resolve(),
  owners: () => link.reach((database) => database.owners()),
  takeRuns: (id, limit) => link.reach((database) => database.takeRuns(id, limit)),
  // Nothing is published here.
  holdPublisher: () => Promise.resolve(undefined),
  giveUpRuns: (id, runIds) => link.reach((database) => database.giveUpRuns(id, runIds)),
  giveUpAllRuns: (id, patienceMs) => link.reach((database) => database.giveUpRuns(id), { patienceMs }),
  leave: (id, patienceMs) => link.reach((database) => database.leave(id), { patienceMs }),
  listen: (onTold, signal) => link.listen("members", onTold, onTold, signal),
});

export const changesOf = (link: DatabaseLink) => ({
  listen: (...[channel, ...rest]: [string, (payload: string) => void, () => void, AbortSignal]) => {
    if (channel !== CHANGES_CHANNEL) throw new Error(`nobody says anything on ${channel}`);
    return link.listen("changes", ...rest);
  },
  [Symbol.asyncDispose]: () => Promise.resolve(),
});

/** The run store as one of several members has it. */
export class SharedStore implements RecordStore, AsyncDisposable {
  readonly recorded: Recorded;
  readonly reader: SharedReader;
  readonly #link: DatabaseLink;
  readonly #members: Members;

  private constructor(link: DatabaseLink, members: Members, recorded: Recorded) {
    this.#link = link;
    this.#members = members;
    this.recorded = recorded;
    this.reader = {
      request: (requestId) =>
        link.reach(({ tables }) => {
          const request = tables.requests.get(requestId);
          return request && { requestId, ...request };
        }),
      owned: (runIds) => link.reach((database) => database.owned(runIds)),
      reported: (runIds) => link.reach(({ tables }) => tables.reported(runIds)),
      history: (runId) => this.history(runId),
      survivors: () => link.reach((database) => database.survivors()),
      drained: () => Promise.resolve([]),
      published: () => Promise.resolve(this.recorded.events.published),
      newestEvent: () => link.reach(({ tables }) => tables.eventLog.length),
    };
  }

  static async open(link: DatabaseLink, members: Members): Promise<SharedStore> {
    const recorded = await link.reach(({ tables }) => tables.recorded);
    return new SharedStore(link, members, { ...recorded, life: members.life });
  }

  commit(changes: readonly Change[]): Promise<number> {
    return this.#link.commit(this.#members.id, changes);
  }

  history(runId: string): Promise<History> {
    return this.#link.reach(({ tables }) => [...(tables.histories.get(runId) ?? [])]);
  }

  historyPage(runId: string, after: number, limit: number): Promise<PlacedUpdate[]> {
    return this.#link.reach(({ tables }) => tables.historyPage(runId, after, limit)).then((page) => page);
  }

  runLog(): Promise<[]> {
    return Promise.resolve([]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#members[Symbol.asyncDispose]();
  }
}
