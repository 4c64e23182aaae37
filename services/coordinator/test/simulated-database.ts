/** The run store that several simulated coordinators share, as PostgreSQL keeps it: each transaction happens at one moment. */
import { GradpoolError } from "@gradpool/errors";
import type { Run } from "@gradpool/rpc";
import { hasEnded } from "../src/record/run-record.js";
import type { Change } from "../src/store/run-store.js";
import type { KnownMember, Member, OwnedRun } from "../src/store/postgres/membership.js";
import type { Agenda } from "./agenda.js";
import { SimulatedStore, type Saved } from "./simulated-store.js";

interface MemberRow extends Member {
  life: number;
  expiresAtMs: number;
  alive: boolean;
  /** It was declared dead, and then left. */
  hasSurvived: boolean;
}

/** Hears "MEMBER RUN" of the runs that others change, and "" when members tell something. */
type Heard = (what: { member: string; runId: string } | "members") => void;

const takenOver = () => new GradpoolError("aborted", "its runs were taken over");

export class SimulatedDatabase {
  readonly tables = new SimulatedStore(() => false);
  /** Takeovers so far of runs whose owner was lost, and of those that were given up. */
  readonly takeovers = { lost: 0, givenUp: 0 };
  readonly #agenda: Agenda;
  readonly #members = new Map<string, MemberRow>();
  readonly #owned = new Map<string, { owner: string | null; epoch: number }>();
  /** By run that has not ended. */
  readonly #folders = new Map<string, string>();
  /** The highest epoch that an output folder has seen. */
  readonly #claims = new Map<string, number>();
  readonly #listeners = new Set<Heard>();

  readonly #isUnfenced: boolean;

  /** `isUnfenced`: a fault that must be found. */
  constructor(agenda: Agenda, isUnfenced = false) {
    this.#agenda = agenda;
    this.#isUnfenced = isUnfenced;
  }

  /** All of the changes or none. Errors: as PostgresRunStore.commit. */
  commit(member: string, changes: readonly Change[]): number {
    if (!this.isAlive(member) && !this.#isUnfenced) throw takenOver();
    for (const change of changes) this.#check(member, change);
    this.tables.apply(changes);
    const changed = new Set<string>();
    for (const change of changes) {
      if (change.type === "run") this.#place(member, change.run);
      if ("runId" in change) changed.add(change.runId);
      if (change.type === "run") changed.add(change.run.runId);
      if (change.type === "event") changed.add(change.event.runId);
    }
    for (const runId of changed) this.#tell({ member, runId });
    return this.tables.eventLog.length;
  }

  owned(runIds: readonly string[] | undefined): { run: Run; owner: string | null; epoch: number }[] {
    const runs = runIds ?? [...this.tables.runs.keys()];
    return runs.flatMap((runId) => {
      const run = this.tables.runs.get(runId);
      return run ? [{ run, owner: null, epoch: 1, ...this.#owned.get(runId) }] : [];
    });
  }

  /** The output folder is a run's owner's, from this epoch on. Errors: `aborted` when it has seen a later one. */
  claim(runId: string, epoch: number): void {
    if ((this.#claims.get(runId) ?? 0) > epoch) throw takenOver();
    this.#claims.set(runId, epoch);
  }

  save(runId: string, epoch: number, saved: Saved): void {
    this.claim(runId, epoch);
    this.tables.saved.set(runId, saved);
  }

  listen(heard: Heard): () => void {
    this.#listeners.add(heard);
    return () => this.#listeners.delete(heard);
  }

  join(member: Member, leaseMs: number): number {
    const life = this.#members.size + 1;
    this.#members.set(member.id, {
      ...member,
      life,
      expiresAtMs: this.#agenda.nowMs + leaseMs,
      alive: true,
      hasSurvived: false,
    });
    return life;
  }

  moveTo(id: string, address: string): void {
    Object.assign(this.#members.get(id) ?? {}, { address });
    this.#tell("members");
  }

  isAlive(id: string | undefined): boolean {
    return this.#members.get(id ?? "")?.alive === true;
  }

  renew(id: string, leaseMs: number): boolean {
    const row = this.#members.get(id);
    if (!row?.alive) return false;
    row.expiresAtMs = this.#agenda.nowMs + leaseMs;
    return true;
  }

  members(): KnownMember[] {
    const living = [...this.#members.values()].filter(({ alive }) => alive);
    return living.map(({ id, address, protocol, expiresAtMs }) => {
      return { id, address, protocol, isExpired: expiresAtMs < this.#agenda.nowMs };
    });
  }

  survivors(): Set<number> {
    const all = [...this.#members.values()];
    return new Set(all.filter(({ hasSurvived }) => hasSurvived).map(({ life }) => life));
  }

  endExpired(except: string): string[] {
    const ended = this.members().filter(({ id, isExpired }) => isExpired && id !== except);
    for (const { id } of ended) Object.assign(this.#members.get(id) ?? {}, { alive: false });
    if (ended.length > 0) this.#tell("members");
    return ended.map(({ id }) => id);
  }

  owners(): (OwnedRun & { owner: string | null })[] {
    return [...this.#owned].map(([runId, { owner, epoch }]) => ({ runId, owner, epoch }));
  }

  takeRuns(id: string, limit: number): OwnedRun[] {
    if (!this.#members.get(id)?.alive) return [];
    const taken: OwnedRun[] = [];
    for (const [runId, { owner, epoch }] of this.#owned) {
      if (taken.length >= limit) break;
      if (owner !== null && this.#members.get(owner)?.alive) continue;
      this.takeovers[owner === null ? "givenUp" : "lost"] += 1;
      this.#owned.set(runId, { owner: id, epoch: epoch + 1 });
      taken.push({ runId, epoch: epoch + 1 });
    }
    return taken;
  }

  giveUpRuns(id: string, runIds?: readonly string[]): void {
    for (const [runId, { owner, epoch }] of this.#owned) {
      if (owner === id && runIds?.includes(runId) !== false) this.#owned.set(runId, { owner: null, epoch });
    }
    this.#tell("members");
  }

  leave(id: string): void {
    const member = this.#members.get(id);
    if (member) Object.assign(member, { alive: false, hasSurvived: !member.alive });
    this.giveUpRuns(id);
  }

  #check(member: string, change: Change): void {
    if (change.type === "request" && this.tables.requests.has(change.requestId)) {
      throw new GradpoolError("already_exists", "another coordinator has the same request_id");
    }
    if (change.type !== "run") return;
    const { run } = change;
    const before = this.tables.runs.get(run.runId);
    const isOwner = this.#owned.get(run.runId)?.owner === member || this.#isUnfenced;
    if (before && !hasEnded(before) && !isOwner) throw takenOver();
    if (before || ![...this.#folders.values()].includes(folderOf(run))) return;
    throw new GradpoolError("failed_precondition", "the output_dir is in use by a run of another coordinator");
  }

  #place(member: string, run: Run): void {
    const { runId } = run;
    if (hasEnded(run)) {
      this.#owned.delete(runId);
      this.#folders.delete(runId);
    } else if (!this.#owned.has(runId)) {
      this.#owned.set(runId, { owner: member, epoch: 1 });
      this.#folders.set(runId, folderOf(run));
    }
  }

  #tell(what: Parameters<Heard>[0]): void {
    for (const heard of this.#listeners) heard(what);
  }
}

const folderOf = ({ spec }: Run): string => spec?.outputDir ?? "";
