/**
 * This process among the coordinators that share a run store in PostgreSQL. Each has a lease by the database's clock, which it
 * renews three times in its length. When one's lease is over, any other declares it dead, and the survivors share its runs; it
 * learns of that from its next renewal or commit, has written nothing since, and ends.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { GradpoolError } from "@gradpool/errors";
import type { Logger } from "@gradpool/service-kit";
import { MAX_RUNS } from "../core/runs.js";
import type { Clock } from "../driver/ports.js";
import type { KnownMember, OwnedRun } from "../store/postgres/membership.js";
import type { MembersTable } from "./ports.js";

/** What coordinators say to one another, in the store and over gRPC. It grows when one of before could not take part. */
export const PROTOCOL = 1;

/** Members that ended are forgotten after this long. */
const FORGET_MS = 86_400_000;

export interface MembersOptions {
  table: MembersTable;
  /** A member that is silent for longer may lose its runs. */
  leaseMs: number;
  clock: Clock;
  log: Logger;
}

export interface MembersListener {
  /** These runs are this member's from now on: resume them. */
  onTaken(runs: readonly OwnedRun[]): Promise<void>;
  /** Others have room: do nothing more with up to `count` runs that are not begun, and return which. */
  onShared(count: number): Promise<readonly string[]>;
  /** Members have come or gone. */
  onMembers(): void;
  /** Others have taken its runs over: end the process. */
  onLost(error: GradpoolError): void;
}

/** Another member, as calls reach it. */
export interface Peer {
  /** "host:port". */
  readonly address: string;
  /** Aborts when it is declared dead or has left. */
  readonly signal: AbortSignal;
}

interface Living {
  /** "host:port"; empty while it does not listen yet. */
  address: string;
  over: AbortController;
}

export class Members implements AsyncDisposable {
  readonly id: string;
  /** A number that no member had before. */
  readonly life: number;
  readonly #options: MembersOptions;
  /** The members that live, by id. */
  #living = new Map<string, Living>();
  /** Of the runs that have not ended. */
  #owners = new Map<string, { owner: string | null; epoch: number }>();
  readonly #closing = new AbortController();
  #isLeaving = false;
  #working: Promise<unknown>[] = [];
  #listener: MembersListener | undefined;
  /** Rounds of looking at the table come one after the other. */
  #lastRound: Promise<void> = Promise.resolve();

  private constructor(options: MembersOptions, id: string, life: number) {
    this.#options = options;
    this.id = id;
    this.life = life;
  }

  /** Errors: `failed_precondition` when members of a newer gradpool live, `unavailable`. */
  static async join(options: MembersOptions): Promise<Members> {
    const { table, leaseMs } = options;
    const id = randomUUID();
    const life = await table.join({ id, address: "", protocol: PROTOCOL }, leaseMs, refuseNewer);
    return new Members(options, id, life);
  }

  /** Renews the lease and takes runs that nobody owns, from now on; resolves once it has looked for some. */
  start(listener: MembersListener): Promise<void> {
    this.#listener = listener;
    const { signal } = this.#closing;
    const listening = this.#options.table.listen(() => void this.#round(), signal);
    this.#working = [this.#renew(), listening.catch((error: unknown) => this.#crash(error))];
    return this.#round();
  }

  /** Others reach it at "host:port" from now on; where it listens on every address, by the machine's name. */
  async reachableAt(listening: string): Promise<void> {
    const address = listening.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, hostname());
    await this.#options.table.moveTo(this.id, address);
  }

  /** The other member that owns a run; undefined: there is none that lives and listens. */
  ownerOf(runId: string): Peer | undefined {
    const { owner } = this.#owners.get(runId) ?? {};
    const living = owner === this.id ? undefined : this.#living.get(owner ?? "");
    return living?.address ? { address: living.address, signal: living.over.signal } : undefined;
  }

  /** How often a run has changed hands, from 1. */
  epochOf(runId: string): number {
    return this.#owners.get(runId)?.epoch ?? 1;
  }

  /** "host:port" of all that live. */
  addresses(): string[] {
    return [...this.#living.values()].map(({ address }) => address).filter((address) => address !== "");
  }

  /** Makes this member the one that publishes events, unless another that lives does. */
  async holdsPublisher(): Promise<boolean> {
    return (await this.#options.table.holdPublisher(this.id)) !== undefined;
  }

  /** Who owns a run that has not ended, as it was read a moment ago. */
  saw(runId: string, owner: string | null, epoch: number): void {
    const known = this.#owners.get(runId);
    if (!known || known.epoch <= epoch) this.#owners.set(runId, { owner, epoch });
  }

  /** Gives its runs up, once their work is over: others take them over at once. It takes no more. */
  async giveUp(): Promise<void> {
    this.#isLeaving = true;
    await this.#lastRound;
    const { table, leaseMs } = this.#options;
    await table.giveUpAllRuns(this.id, leaseMs).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isLeaving = true;
    this.#closing.abort();
    await Promise.allSettled(this.#working);
    await this.#lastRound;
    const { table, leaseMs } = this.#options;
    await table.leave(this.id, leaseMs).catch(() => {});
  }

  async #renew(): Promise<void> {
    const { table, leaseMs, clock } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        if (!(await table.renew(this.id, leaseMs, signal))) return await this.#lost();
        await this.#round();
        await clock.sleep(leaseMs / 3, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#crash(error);
        return;
      }
    }
  }

  /** Looks who lives, and takes its share of the runs that nobody owns. */
  #round(): Promise<void> {
    this.#lastRound = this.#lastRound.then(() => this.#look()).catch((error: unknown) => this.#crash(error));
    return this.#lastRound;
  }

  async #look(): Promise<void> {
    const { table, log } = this.#options;
    if (this.#closing.signal.aborted) return;
    const all = await table.members();
    if (all.some(({ id, isExpired }) => isExpired && id !== this.id)) {
      const ended = await table.endExpired(this.id);
      for (const id of ended)
        log.warn({ member: id, address: this.#living.get(id)?.address }, "a coordinator was lost");
      await table.forget(FORGET_MS);
      return this.#look();
    }
    this.#setLiving(all);
    const owners = await table.owners();
    this.#owners = new Map(owners.map(({ runId, owner, epoch }) => [runId, { owner, epoch }]));
    if (!this.#isLeaving) await this.#balance();
  }

  /**
   * Takes runs that nobody owns, up to an even share of all, and gives up those above it that it has not begun where another member
   * would begin them at once. A member above its share takes none, so it does not take back what it gave up.
   */
  async #balance(): Promise<void> {
    const owned = new Map(
      [...this.#living].filter(([id, { address }]) => address !== "" || id === this.id).map(([id]) => [id, 0]),
    );
    let orphans = 0;
    for (const { owner } of this.#owners.values()) {
      if (owner === null || !this.#living.has(owner)) orphans += 1;
      else owned.set(owner, (owned.get(owner) ?? 0) + 1);
    }
    const own = owned.get(this.id) ?? 0;
    const share = Math.ceil(this.#owners.size / owned.size);
    if (own < share && orphans > 0) await this.#take(share - own);
    const hasRoom = [...owned.values()].some((runs) => runs < MAX_RUNS);
    if (own > share && hasRoom) await this.#giveUp(own - share);
  }

  async #giveUp(count: number): Promise<void> {
    const { table, log } = this.#options;
    const given = (await this.#listener?.onShared(count)) ?? [];
    if (given.length === 0) return;
    await table.giveUpRuns(this.id, given);
    for (const runId of given) this.#owners.set(runId, { owner: null, epoch: this.epochOf(runId) });
    log.info({ runs: given.length }, "giving up runs that wait: other coordinators have room");
  }

  async #take(limit: number): Promise<void> {
    const { table, log } = this.#options;
    const taken = await table.takeRuns(this.id, limit);
    if (taken.length === 0) return;
    for (const { runId, epoch } of taken) this.#owners.set(runId, { owner: this.id, epoch });
    log.info({ runs: taken.length }, "taking over runs");
    await this.#listener?.onTaken(taken);
  }

  #setLiving(all: readonly KnownMember[]): void {
    const before = this.#living;
    const overOf = (id: string) => before.get(id)?.over ?? new AbortController();
    this.#living = new Map(all.map(({ id, address }) => [id, { address, over: overOf(id) }]));
    const lost = [...before].filter(([id]) => !this.#living.has(id));
    for (const [, { over }] of lost) over.abort();
    const isNews = all.some(({ id, address }) => before.get(id)?.address !== address);
    if (lost.length > 0 || isNews) this.#listener?.onMembers();
  }

  /** Says so in its row first: it did not end by itself. */
  async #lost(): Promise<void> {
    const { table, leaseMs } = this.#options;
    await table.leave(this.id, leaseMs).catch(() => {});
    const seconds = leaseMs / 1000;
    const problem = `this coordinator did not renew its lease of ${seconds} s, and others have taken its runs over`;
    this.#crash(new GradpoolError("aborted", `${problem}; it ends, to be started again`));
  }

  #crash(error: unknown): void {
    if (!this.#closing.signal.aborted) this.#listener?.onLost(GradpoolError.from(error));
  }
}

/** Errors: `failed_precondition` when a member of a newer gradpool lives. */
function refuseNewer(members: readonly KnownMember[]): void {
  const newer = members.find(({ protocol, isExpired }) => protocol > PROTOCOL && !isExpired);
  if (!newer) return;
  const problem = `the coordinator at ${newer.address} speaks protocol ${newer.protocol}, and this one ${PROTOCOL}`;
  throw new GradpoolError("failed_precondition", `${problem}; start this one in the newer version, too`);
}
