import { randomBytes } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import { bytes } from "@gradpool/format";
import {
  MAX_SOURCES,
  Run,
  RunSpec,
  RunState,
  type ListRunsRequest,
  type ListRunsResponse,
  type RunLogEntry,
  type WatchRunResponse,
} from "@gradpool/rpc";
import { absoluteOutputDir } from "@gradpool/service-kit";
import { isSampled, traceIdOf } from "@gradpool/tracing";
import type { Draft, EventBook } from "../events/event-book.js";
import type { Fact } from "../facts.js";
import { specRecipe } from "../runs/spec.js";
import type { Change, History, Reported, RunStore } from "../store/run-store.js";
import { poolPayloadOf, resumedPayloads, runPayloadOf } from "./event-payloads.js";
import { linesOf, linesOfLoss, type LogLine } from "./run-log.js";
import { pageOf } from "./run-pages.js";
import { changesHands, hasEnded, isUnreported, newsAfter, RunRecord } from "./run-record.js";
import { changesOf, NO_LIVES, patchOf } from "./store-changes.js";

/** Runs that have ended whose steps stay in memory; those of others are read from the store. */
const HISTORIES_KEPT = 16;

/** A run with its spec must fit into one message, of 4 MiB. */
const MAX_SPEC_BYTES = 2 << 20;

/** With this many unfinished runs, no other is accepted. */
export const MAX_UNFINISHED_RUNS = 1_000;

/** Steps and the like of a run that has ended that are read from the store at a time. */
const HISTORY_PAGE_UPDATES = 500;

/** Entries of a run's log that are read from the store at a time. */
const LOG_PAGE_ENTRIES = 256;

/** What records of runs need of the run store. */
export type RecordStore = Pick<RunStore, "recorded" | "commit" | "history" | "historyPage" | "runLog">;

/** The record of a run before a turn. */
type Before = (runId: string) => Run | undefined;

/** All runs, as they are recorded in the store. */
export class RunRegistry {
  readonly #store: RecordStore;
  readonly #events: EventBook;
  /** In order of submission. */
  readonly #records = new Map<string, RunRecord>();
  readonly #ended: string[] = [];
  readonly #newRunId: () => string;
  readonly #isShared: boolean;
  /** The newest read for a watcher, which settles after all before it. */
  #lastRead: Promise<unknown> = Promise.resolve();

  private constructor(store: RecordStore, events: EventBook, newRunId: () => string, isShared: boolean) {
    this.#isShared = isShared;
    this.#store = store;
    this.#events = events;
    this.#newRunId = newRunId;
  }

  /** `newRunId` gives each run a unique id. `isShared`: runs that have not ended are others' until they are adopted. */
  static async load(
    store: RecordStore,
    events: EventBook,
    { newRunId = randomRunId, isShared = false }: { newRunId?: () => string; isShared?: boolean } = {},
  ): Promise<RunRegistry> {
    const registry = new RunRegistry(store, events, newRunId, isShared);
    for (const run of store.recorded.runs) {
      const history = hasEnded(run) || isShared ? undefined : await store.history(run.runId);
      registry.#records.set(run.runId, new RunRecord(run, history));
    }
    return registry;
  }

  /** A page of all runs, newest first. Errors: `invalid_argument`. */
  page(request: ListRunsRequest): ListRunsResponse {
    return pageOf([...this.#records.values()], request);
  }

  /** Runs that ended before `time`, in order of submission. */
  endedBefore(time: Date): RunRecord[] {
    return [...this.#records.values()].filter(({ hasEnded: ended, recorded }) => {
      return ended && recorded.endedAt !== undefined && recorded.endedAt < time;
    });
  }

  /** In order of submission. */
  get unfinished(): RunRecord[] {
    return [...this.#records.values()].filter((record) => !record.hasEnded);
  }

  /** This coordinator's that are not reported as they ask for, in order of submission. */
  get unreported(): Run[] {
    const own = [...this.#records.values()].filter(({ history }) => !this.#isShared || history);
    return own.map(({ recorded }) => recorded).filter(isUnreported);
  }

  /** Records what another coordinator has recorded of its run. */
  learn(run: Run): void {
    const known = this.#records.get(run.runId);
    if (known) {
      // It was this one's, which was silent for too long, or stops.
      if (known.history && !known.hasEnded) known.disown();
      return known.apply({ type: "run", run });
    }
    const isNewest = [...this.#records.values()].every(({ recorded }) => submittedMs(recorded) <= submittedMs(run));
    this.#records.set(run.runId, new RunRecord(run));
    if (isNewest) return;
    const inOrder = [...this.#records].sort(([, a], [, b]) => submittedMs(a.recorded) - submittedMs(b.recorded));
    this.#records.clear();
    for (const [runId, record] of inOrder) this.#records.set(runId, record);
  }

  /** A run that another coordinator had, up to now: it is this one's from now on. `reported`: what events say of it. */
  adopt(run: Run, history: History, reported: Reported | undefined): void {
    this.learn(run);
    this.get(run.runId).adopt(history);
    this.#events.adopt(run.runId, reported);
  }

  /** Another coordinator has deleted a run. */
  forget(runId: string): void {
    if (this.#records.has(runId)) this.#forget(runId);
  }

  get runIds(): string[] {
    return [...this.#records.keys()];
  }

  has(runId: string): boolean {
    return this.#records.has(runId);
  }

  /** Errors: `not_found`. */
  get(runId: string): RunRecord {
    const record = this.#records.get(runId);
    if (record) return record;
    throw new GradpoolError("not_found", `there is no run ${runId}; "gradpool run list" shows all runs`);
  }

  /** As RunRecord.watch. Errors: `not_found` besides. */
  async *watch(runId: string, afterStep: number, signal: AbortSignal): AsyncGenerator<WatchRunResponse> {
    const record = this.get(runId);
    if (record.history) return yield* record.watch(afterStep, signal);
    // Another coordinator's run, which only that one sees as it happens.
    if (!record.hasEnded) throw changesHands(runId);
    yield { update: { $case: "run", value: record.run } };
    const isNews = newsAfter(afterStep);
    for (let place = 0; ;) {
      const page = await this.#readInTurn(signal, () => this.#store.historyPage(runId, place, HISTORY_PAGE_UPDATES));
      for (const { update } of page) if (isNews(update)) yield { update };
      place = page.at(-1)?.position ?? place;
      if (page.length < HISTORY_PAGE_UPDATES) return;
    }
  }

  /**
   * Reads for a watcher while no other watcher does, so that commits wait for one page at most; of those that left, nothing is
   * read. Errors: `cancelled` when `signal` aborts first.
   */
  #readInTurn<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
    const turn = this.#lastRead.then(() => {
      signal.throwIfAborted();
      return read();
    });
    this.#lastRead = turn.catch(() => {});
    return turn;
  }

  /** Entries of a run's log after `after`; with `follow` until the run has ended. Errors: `not_found`, `cancelled`. */
  async *watchLog(runId: string, after: number, follow: boolean, signal: AbortSignal): AsyncGenerator<RunLogEntry> {
    const record = this.get(runId);
    for (let place = after; ;) {
      const { hasEnded: isLast, logged } = record;
      const page = await this.#store.runLog(runId, place, LOG_PAGE_ENTRIES);
      yield* page;
      place = page.at(-1)?.number ?? place;
      if (page.length === LOG_PAGE_ENTRIES) continue;
      if (isLast || !follow) return;
      await record.loggedMore(logged, signal);
    }
  }

  /**
   * A new run for `spec`, submitted in the span `traceparent`, to be recorded. Errors: `invalid_argument`,
   * `failed_precondition` when another run writes into the same folder, and `resource_exhausted` when too many have
   * not ended.
   */
  newRun(spec: RunSpec | undefined, traceparent: string): Run {
    if (!spec) throw new GradpoolError("invalid_argument", "spec is missing");
    checkSources(spec);
    specRecipe(spec);
    const sizeBytes = RunSpec.encode(spec).finish().byteLength;
    if (sizeBytes > MAX_SPEC_BYTES) {
      const problem = `the spec has ${bytes(sizeBytes)}, and ${bytes(MAX_SPEC_BYTES)} at most are accepted`;
      throw new GradpoolError("invalid_argument", `${problem}; name folders or patterns instead of each data file`);
    }
    const { unfinished } = this;
    if (unfinished.length >= MAX_UNFINISHED_RUNS) {
      const problem = `${MAX_UNFINISHED_RUNS} runs have not ended, the most that a pool accepts`;
      throw new GradpoolError("resource_exhausted", `${problem}; try again when one ends, or cancel one`);
    }
    for (const { run } of unfinished) {
      if (absoluteOutputDir(run.spec?.outputDir ?? "") !== absoluteOutputDir(spec.outputDir)) continue;
      const problem = `output_dir ${spec.outputDir} is in use by ${run.runId}`;
      throw new GradpoolError("failed_precondition", `${problem}; choose another output_dir, or cancel that run`);
    }
    return {
      ...Run.create(),
      ...{ runId: this.#newRunId(), spec, state: RunState.RUN_STATE_QUEUED, submittedAt: new Date() },
      traceId: isSampled(traceparent) ? traceIdOf(traceparent) : "",
      traceparent,
    };
  }

  /**
   * Records the facts of some turns and the events they report (I6), in their order, or nothing; visible to everyone once
   * recorded.
   */
  async commit(turns: readonly (readonly Fact[])[]): Promise<void> {
    const after = new Map<string, Run>();
    const changes = turns.flatMap((facts) => this.#changesOf(facts, after));
    if (changes.length > 0) {
      const newest = await this.#store.commit(changes);
      for (const change of changes) this.#apply(change);
      this.#events.recorded(newest);
    }
    for (const fact of turns.flat()) {
      if (fact.type === "run-prepared") this.get(fact.runId).tell({ preparing: "" });
      if (fact.type === "run-given-up") this.get(fact.runId).disown();
    }
  }

  /** Of one turn. `after`: the records that turns before it changed; what this one changes is added. */
  #changesOf(facts: readonly Fact[], after: Map<string, Run>): Change[] {
    const before = (runId: string) => after.get(runId) ?? this.#records.get(runId)?.recorded;
    const runs = this.#changed(facts, before);
    const changes: Change[] = [
      ...facts.flatMap(changesOf),
      ...[...runs.values()].map((run) => ({ type: "run" as const, run })),
      ...this.#reported(facts, runs, before),
    ];
    for (const [runId, run] of runs) after.set(runId, run);
    return changes;
  }

  /** The records that facts change, with the changes applied. */
  #changed(facts: readonly Fact[], before: Before): Map<string, Run> {
    const runs = new Map<string, Run>();
    for (const fact of facts) {
      if (fact.type === "run-submitted") runs.set(fact.run.runId, fact.run);
      if (fact.type === "pool-stopping") this.#forgetLives(runs, before);
      const runId = runIdOf(fact);
      const run = runId === undefined ? undefined : (runs.get(runId) ?? before(runId));
      const patch = run && patchOf(fact, run, this.#store.recorded.life);
      if (patch) runs.set(run.runId, { ...run, ...patch });
    }
    return runs;
  }

  /** A coordinator that stops in order was not ended by a run. */
  #forgetLives(runs: Map<string, Run>, before: Before): void {
    for (const { recorded, history } of this.unfinished) {
      // Other coordinators' runs have none here.
      if (!history) continue;
      const run = runs.get(recorded.runId) ?? before(recorded.runId);
      // One may have ended in a turn that is recorded together with this one.
      if (run && !hasEnded(run) && run.livesWithoutProgress > 0) runs.set(run.runId, { ...run, ...NO_LIVES });
    }
  }

  /** Events and log entries. `changed`: the records that facts change. */
  #reported(facts: readonly Fact[], changed: ReadonlyMap<string, Run>, before: Before): Change[] {
    const time = new Date();
    const drafts: Draft[] = [];
    const entries: Change[] = [];
    const enter = (runId: string, line: LogLine) => entries.push({ type: "log", runId, entry: { time, ...line } });
    for (const fact of facts) {
      const ofPool = poolPayloadOf(fact);
      if (ofPool) drafts.push({ ...("trainerId" in fact && { trainerId: fact.trainerId }), payload: ofPool });
      if (fact.type === "trainer-lost") for (const [runId, line] of linesOfLoss(fact)) enter(runId, line);
      const runId = runIdOf(fact);
      const was = runId === undefined ? undefined : before(runId);
      const run = runId === undefined ? undefined : (changed.get(runId) ?? was);
      if (!run) continue;
      for (const payload of resumedPayloads(fact, was)) drafts.push({ run, payload });
      const payload = runPayloadOf(fact, was, run);
      if (payload) drafts.push({ run, payload });
      for (const line of linesOf(fact, was, run)) enter(run.runId, line);
    }
    return [...this.#events.record(drafts, time), ...entries];
  }

  #apply(change: Change): void {
    const runId = change.type === "run" ? change.run.runId : "runId" in change ? change.runId : undefined;
    if (runId === undefined) return;
    if (change.type === "delete-run") return this.#forget(runId);
    const record = this.#records.get(runId);
    if (record) record.apply(change);
    else if (change.type === "run") this.#records.set(runId, new RunRecord(change.run, []));
    if (change.type === "run" && hasEnded(change.run)) this.#keepFewHistories(runId);
  }

  #forget(runId: string): void {
    this.#records.delete(runId);
    this.#events.forget(runId);
    const place = this.#ended.indexOf(runId);
    if (place >= 0) this.#ended.splice(place, 1);
  }

  #keepFewHistories(runId: string): void {
    if (!this.#ended.includes(runId)) this.#ended.push(runId);
    if (this.#ended.length > HISTORIES_KEPT) this.#records.get(this.#ended.shift() ?? "")?.dropHistory();
  }
}

/** Each source takes time to look for, even where they are few bytes. */
function checkSources({ dataset, evalDataset }: RunSpec): void {
  for (const [field, sources] of Object.entries({ dataset, eval_dataset: evalDataset })) {
    if (sources.length <= MAX_SOURCES) continue;
    const problem = `${field} has ${sources.length} sources, where ${MAX_SOURCES} are allowed`;
    throw new GradpoolError("invalid_argument", `${problem}; name a folder or a pattern instead of many files`);
  }
}

/** The run that a fact is about. */
function runIdOf(fact: Fact): string | undefined {
  if (fact.type === "run-submitted") return fact.run.runId;
  if ("task" in fact) return fact.task.runId;
  return "runId" in fact ? fact.runId : undefined;
}

const submittedMs = ({ submittedAt }: Run): number => submittedAt?.getTime() ?? 0;

/** Sorts by time of submission. */
const randomRunId = () => `run-${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
