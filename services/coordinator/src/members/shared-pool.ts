/** A coordinator among others that share its run store: whose runs are whose, and what the others do. */
import type { GradpoolError } from "@gradpool/errors";
import { RunState, type Run } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import { ON_REQUEST } from "../core/runs.js";
import type { Clock } from "../driver/ports.js";
import type { EventBook } from "../events/event-book.js";
import type { Turn } from "../events/publisher.js";
import { hasEnded } from "../record/run-record.js";
import type { FindRequest } from "../record/requests.js";
import { withoutSurvivors } from "../record/store-changes.js";
import type { RunRegistry } from "../record/run-registry.js";
import type { PostgresAddress } from "../store/postgres/address.js";
import { Database } from "../store/postgres/database.js";
import type { OwnedRun } from "../store/postgres/membership.js";
import { postgresMembers } from "../store/postgres/members-table.js";
import { PostgresRunStore } from "../store/postgres/postgres-run-store.js";
import type { Runs, TrainerPool } from "../trainer-pool.js";
import { Feed } from "./feed.js";
import type { Owner, Owners } from "./forwarding.js";
import { Members } from "./members.js";
import type { Listen, SharedReader } from "./ports.js";

interface Options {
  clock: Clock;
  log: Logger;
}

export interface SharedPoolOptions extends Options {
  /** Of the run store. */
  address: PostgresAddress;
  leaseMs: number;
}

/** A run store of several, as `Members` sees it. */
type SharedStore = AsyncDisposable & { readonly reader: SharedReader };

/** Hears what others change. */
type Changes = AsyncDisposable & { listen: Listen };

/** The parts of the coordinator that change as others do. */
export interface SharedParts {
  driver: Pick<Runs, "owns" | "recover" | "shareQueue">;
  registry: RunRegistry;
  trainers: Pick<TrainerPool, "announceMembers" | "learnDrained">;
  book: EventBook;
  /** It cannot continue: end the process. */
  onLost: (error: GradpoolError) => void;
}

export class SharedPool<Store extends SharedStore = PostgresRunStore> implements Owners, AsyncDisposable {
  readonly store: Store;
  readonly members: Members;
  readonly #options: Options;
  readonly #changes: Changes;
  #parts: SharedParts | undefined;
  #feed: Feed | undefined;

  constructor(options: Options, store: Store, members: Members, changes: Changes) {
    this.#options = options;
    this.store = store;
    this.members = members;
    this.#changes = changes;
  }

  /** Errors: those of PostgresRunStore.open and Members.join. */
  static async open(options: SharedPoolOptions): Promise<SharedPool> {
    const { address, leaseMs, clock, log } = options;
    let members: Members | undefined;
    const store = await PostgresRunStore.open(address, log, async (database) => {
      members = await Members.join({ table: postgresMembers(database), leaseMs, clock, log });
      return members;
    });
    if (!members) throw new Error("the store was opened without joining its members");
    return new SharedPool(options, store, members, new Database(address, { log }));
  }

  /** Finds what another coordinator has answered, and learns what it was about. */
  readonly find: FindRequest = async (requestId) => {
    const request = await this.store.reader.request(requestId);
    if (request) await this.learn(request.subject);
    return request;
  };

  /** Whether this coordinator publishes the pool's events: from now on, unless another that lives does. */
  readonly publisherTurn = async (): Promise<Turn> => {
    const isHere = await this.members.holdsPublisher();
    return { isHere, published: await this.store.reader.published() };
  };

  /** Takes runs that nobody owns, and follows the others, from now on; resolves once it has its first runs. */
  async start(parts: SharedParts): Promise<void> {
    this.#parts = parts;
    const { onLost, trainers } = parts;
    this.#feed = new Feed({
      ...{ memberId: this.members.id, clock: this.#options.clock },
      listen: (...listening) => this.#changes.listen(...listening),
      read: (runIds) => this.#read(runIds, parts),
      onFailed: (error) => onLost(error as GradpoolError),
    });
    await this.members.start({
      onTaken: (taken) => this.#resume(taken, parts),
      onShared: (count) => parts.driver.shareQueue(count),
      onMembers: () => trainers.announceMembers(),
      onLost,
    });
  }

  async learn(runId: string): Promise<void> {
    const { registry } = this.#parts ?? {};
    if (!registry || runId === "" || registry.has(runId)) return;
    const [found] = await this.store.reader.owned([runId]);
    if (!found) return;
    registry.learn(found.run);
    this.members.saw(runId, found.owner, found.epoch);
  }

  ownerOf(runId: string): Owner {
    const { registry, driver } = this.#parts ?? {};
    const isDone = registry && (!registry.has(runId) || registry.get(runId).hasEnded);
    if (isDone || driver?.owns(runId)) return "here";
    return this.members.ownerOf(runId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#feed?.[Symbol.asyncDispose]();
    await this.#changes[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }

  async #resume(taken: readonly OwnedRun[], { registry, driver }: SharedParts): Promise<void> {
    const { reader } = this.store;
    const runIds = taken.map(({ runId }) => runId);
    const [reported, survivors] = [await reader.reported(runIds), await reader.survivors()];
    for (const found of await reader.owned(runIds)) {
      const run = withoutSurvivors(found.run, survivors);
      const { runId } = run;
      registry.adopt(run, await reader.history(runId), reported.get(runId));
      resume(run, driver, this.#options.log);
    }
  }

  async #read(runIds: ReadonlySet<string> | "all", { registry, driver, trainers, book }: SharedParts): Promise<void> {
    const { reader } = this.store;
    const isAll = runIds === "all";
    const found = await reader.owned(isAll ? undefined : [...runIds]);
    for (const { run, owner, epoch } of found) {
      if (owner === this.members.id || driver.owns(run.runId)) continue;
      registry.learn(run);
      if (!hasEnded(run)) this.members.saw(run.runId, owner, epoch);
    }
    const there = new Set(found.map(({ run }) => run.runId));
    const asked = isAll ? registry.runIds : [...runIds];
    for (const runId of asked) if (!there.has(runId) && !driver.owns(runId)) registry.forget(runId);
    if (isAll || runIds.has("")) trainers.learnDrained(await reader.drained());
    book.recorded(await reader.newestEvent());
  }
}

/** Resumes a run that had not ended when the coordinator that had it did. */
export function resume(run: Run, driver: Pick<Runs, "recover">, log: Logger): void {
  const { runId, step } = run;
  const paused = run.state === RunState.RUN_STATE_PAUSED && run.pausedBecause === ON_REQUEST;
  log.info({ runId, step, paused }, "resuming a run");
  driver.recover(run, paused);
}
