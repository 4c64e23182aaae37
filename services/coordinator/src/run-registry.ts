import { randomBytes } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import type { CheckedRecipe } from "@gradpool/recipe";
import {
  RunState,
  type Evaluation,
  type Run,
  type RunLogEntry,
  type RunSpec,
  type StepMetrics,
  type WatchRunResponse,
} from "@gradpool/rpc";
import type { EventPayload } from "@gradpool/events";
import { absoluteOutputDir } from "@gradpool/service-kit";
import type { Draft, EventBook } from "./events/event-book.js";
import { eventOfChange, eventsOfRun } from "./events/run-events.js";
import { linesOfChange, linesOfRun, type LogLine } from "./run-log.js";
import { isSampled, traceIdOf } from "@gradpool/tracing";
import { bestOf } from "./runs/evaluations.js";
import { hasEnded, RunRecord } from "./runs/run-record.js";
import { specRecipe } from "./runs/spec.js";
import type { Change, RunStore } from "./store/run-store.js";

/** Runs that have ended whose steps stay in memory; those of others are read from the store. */
const HISTORIES_KEPT = 16;

/** Runs that have not ended; with as many, no other is taken. */
export const MAX_UNFINISHED_RUNS = 1_000;

/** Entries of a run's log that are read from the store at a time. */
const LOG_PAGE_ENTRIES = 256;

/** What happens to a run's record: a change as it is recorded, some of the run's fields, or something to tell. */
export type RecordedChange =
  | Change
  | { type: "patch"; runId: string; patch: Partial<Run> }
  /** An event that is about no run. */
  | { type: "tell"; trainerId?: string; payload: EventPayload }
  /** A line for a run's log. */
  | ({ type: "note"; runId: string } & LogLine);

/** All runs, as they are recorded in the store. */
export class RunRegistry {
  readonly #store: RunStore;
  readonly #events: EventBook;
  /** In order of submission. */
  readonly #records = new Map<string, RunRecord>();
  readonly #ended: string[] = [];

  private constructor(store: RunStore, events: EventBook) {
    this.#store = store;
    this.#events = events;
  }

  static async load(store: RunStore, events: EventBook): Promise<RunRegistry> {
    const registry = new RunRegistry(store, events);
    for (const run of store.recorded.runs) {
      const history = hasEnded(run) ? undefined : await store.history(run.runId);
      registry.#records.set(run.runId, new RunRecord(run, history));
    }
    return registry;
  }

  /** Newest first. */
  list(): Run[] {
    return [...this.#records.values()].map(({ run }) => run).reverse();
  }

  /** In order of submission. */
  get unfinished(): RunRecord[] {
    return [...this.#records.values()].filter((record) => !record.hasEnded);
  }

  /** Errors: `not_found`. */
  get(runId: string): RunRecord {
    const record = this.#records.get(runId);
    if (record) return record;
    throw new GradpoolError("not_found", `there is no run ${runId}; "gradpool run list" shows those there are`);
  }

  /** As RunRecord.watch. Errors: `not_found` besides. */
  async *watch(runId: string, afterStep: number, signal: AbortSignal): AsyncGenerator<WatchRunResponse> {
    const record = this.get(runId);
    yield* record.watch(afterStep, signal, record.history ? undefined : await this.#store.history(runId));
  }

  /** Entries of a run's log behind `after`; with `follow` until the run has ended. Errors: `not_found`, `cancelled`. */
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
   * A new run for `spec`, submitted in the span `traceparent`, to be recorded, and its recipe. Errors: `invalid_argument`,
   * `failed_precondition` when another run writes into the same folder, and `resource_exhausted` when too many have
   * not ended.
   */
  newRun(spec: RunSpec | undefined, traceparent: string): { run: Run; recipe: CheckedRecipe } {
    if (!spec) throw new GradpoolError("invalid_argument", "spec is missing");
    const recipe = specRecipe(spec);
    const { unfinished } = this;
    if (unfinished.length >= MAX_UNFINISHED_RUNS) {
      const problem = `${MAX_UNFINISHED_RUNS} runs have not ended, and the pool takes no more`;
      throw new GradpoolError("resource_exhausted", `${problem}; try again when one has, or cancel one`);
    }
    for (const { run } of unfinished) {
      if (absoluteOutputDir(run.spec?.outputDir ?? "") !== absoluteOutputDir(spec.outputDir)) continue;
      const problem = `output_dir ${spec.outputDir} is in use by ${run.runId}`;
      throw new GradpoolError("failed_precondition", `${problem}; choose another output_dir, or cancel that run`);
    }
    const run: Run = {
      runId: newRunId(),
      spec,
      state: RunState.RUN_STATE_QUEUED,
      submittedAt: new Date(),
      startedAt: undefined,
      endedAt: undefined,
      step: 0,
      totalSteps: 0,
      lastStep: undefined,
      trainableParameters: 0,
      allParameters: 0,
      error: undefined,
      preparing: "",
      rows: 0,
      tokens: 0,
      pausedBecause: "",
      waitingFor: "",
      resumedFrom: undefined,
      notes: [],
      lastEvaluation: undefined,
      bestEvaluation: undefined,
      stoppedEarly: false,
      traceId: isSampled(traceparent) ? traceIdOf(traceparent) : "",
      traceparent,
    };
    return { run, recipe };
  }

  /** Records all of it or nothing, and what it tells (I6); from then on everyone sees it. */
  async commit(changes: readonly RecordedChange[]): Promise<void> {
    const written = this.#written(changes);
    const told = this.#told(changes, written);
    if (written.length + told.length === 0) return;
    await this.#store.commit([...written, ...told]);
    for (const change of [...written, ...told]) this.#apply(change);
    this.#events.recorded();
  }

  /** Events and log entries: what the changes say themselves, then what became of each run. */
  #told(changes: readonly RecordedChange[], written: readonly Change[]): Change[] {
    const time = new Date();
    const drafts: Draft[] = [];
    const entries: Change[] = [];
    const enter = (runId: string, lines: readonly LogLine[]) => {
      for (const line of lines) entries.push({ type: "log", runId, entry: { time, ...line } });
    };
    for (const change of changes) {
      if (change.type === "tell") drafts.push(change);
      if (change.type === "note") enter(change.runId, [change]);
    }
    for (const change of written) {
      const run = "runId" in change ? this.#records.get(change.runId)?.recorded : undefined;
      const payload = eventOfChange(change);
      if (run && payload) drafts.push({ run, payload });
      if (run) enter(run.runId, linesOfChange(change));
      if (change.type !== "run") continue;
      const before = this.#records.get(change.run.runId)?.recorded;
      drafts.push(...eventsOfRun(before, change.run).map((made) => ({ run: change.run, payload: made })));
      enter(change.run.runId, linesOfRun(before, change.run));
    }
    return [...this.#events.record(drafts, time), ...entries];
  }

  /** As the store takes them: whole runs, and with a step the run that it belongs to. */
  #written(changes: readonly RecordedChange[]): Change[] {
    const runs = new Map<string, Run>();
    const patch = (runId: string, fields: (run: Run) => Partial<Run>) => {
      const run = runs.get(runId) ?? this.get(runId).recorded;
      runs.set(runId, { ...run, ...fields(run) });
    };
    const others: Change[] = [];
    for (const change of changes) {
      if (change.type === "run") runs.set(change.run.runId, change.run);
      else if (change.type === "patch") patch(change.runId, () => change.patch);
      else if (change.type !== "tell" && change.type !== "note") others.push(change);
      if (change.type === "step") patch(change.runId, ({ tokens }) => afterStep(change.step, tokens));
      if (change.type === "evaluation") patch(change.runId, (run) => afterEvaluation(change.evaluation, run));
      if (change.type === "steps") patch(change.runId, () => afterSteps(change));
    }
    return [...others, ...[...runs.values()].map((run) => ({ type: "run" as const, run }))];
  }

  #apply(change: Change): void {
    const runId = change.type === "run" ? change.run.runId : "runId" in change ? change.runId : undefined;
    if (runId === undefined) return;
    const record = this.#records.get(runId);
    if (record) record.apply(change);
    else if (change.type === "run") this.#records.set(runId, new RunRecord(change.run, []));
    if (change.type === "run" && hasEnded(change.run)) this.#keepFewHistories(runId);
  }

  #keepFewHistories(runId: string): void {
    if (!this.#ended.includes(runId)) this.#ended.push(runId);
    if (this.#ended.length > HISTORIES_KEPT) this.#records.get(this.#ended.shift() ?? "")?.dropHistory();
  }
}

const afterStep = (step: StepMetrics, tokens: number): Partial<Run> => ({
  step: step.step,
  lastStep: step,
  tokens: tokens + step.tokens,
});

const afterEvaluation = (evaluation: Evaluation, { bestEvaluation }: Run): Partial<Run> => ({
  lastEvaluation: evaluation,
  bestEvaluation: bestOf(bestEvaluation ? [bestEvaluation, evaluation] : [evaluation]),
});

const afterSteps = ({ steps, evaluations }: Change & { type: "steps" }): Partial<Run> => ({
  step: steps.length,
  lastStep: steps.at(-1),
  lastEvaluation: evaluations.at(-1),
  bestEvaluation: bestOf(evaluations),
  tokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
});

/** Sorts by time of submission. */
const newRunId = () => `run-${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
