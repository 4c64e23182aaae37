import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { checkRecipe } from "@gradpool/recipe";
import {
  RunState,
  type Evaluation,
  type LoraRecipe,
  type Recipe,
  type Run,
  type RunSpec,
  type StepMetrics,
  type WatchRunResponse,
} from "@gradpool/rpc";
import { isSampled, traceIdOf } from "@gradpool/tracing";
import { bestOf } from "./runs/evaluations.js";
import type { CompleteRecipe } from "./runs/prepare.js";
import { hasEnded, RunRecord } from "./runs/run-record.js";
import type { Change, RunStore } from "./store/run-store.js";

/** Runs that have ended whose steps stay in memory; those of others are read from the store. */
const HISTORIES_KEPT = 16;

/** What happens to a run's record: a change as it is recorded, or some of the run's fields. */
export type RecordedChange = Change | { type: "patch"; runId: string; patch: Partial<Run> };

/** All runs, as they are recorded in the store. */
export class RunRegistry {
  readonly #store: RunStore;
  /** In order of submission. */
  readonly #records = new Map<string, RunRecord>();
  readonly #ended: string[] = [];

  private constructor(store: RunStore) {
    this.#store = store;
  }

  static async load(store: RunStore): Promise<RunRegistry> {
    const registry = new RunRegistry(store);
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

  /**
   * A new run for `spec`, submitted in the span `traceparent`, to be recorded. Errors: `invalid_argument`, and `failed_precondition` when another
   * run writes into the same folder.
   */
  newRun(spec: RunSpec | undefined, traceparent: string): Run {
    if (!spec) throw new GradpoolError("invalid_argument", "spec is missing");
    completeRecipe(spec);
    for (const { run } of this.unfinished) {
      if (resolve(run.spec?.outputDir ?? "") !== resolve(spec.outputDir)) continue;
      const problem = `output_dir ${spec.outputDir} is in use by ${run.runId}`;
      throw new GradpoolError("failed_precondition", `${problem}; choose another output_dir, or cancel that run`);
    }
    return {
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
  }

  /** Records all of it or nothing; from then on everyone sees it. */
  async commit(changes: readonly RecordedChange[]): Promise<void> {
    const written = this.#written(changes);
    if (written.length === 0) return;
    await this.#store.commit(written);
    for (const change of written) this.#apply(change);
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
      else others.push(change);
      if (change.type === "step") patch(change.runId, ({ tokens }) => afterStep(change.step, tokens));
      if (change.type === "evaluation") patch(change.runId, (run) => afterEvaluation(change.evaluation, run));
      if (change.type === "steps") patch(change.runId, () => afterSteps(change));
    }
    return [...others, ...[...runs.values()].map((run) => ({ type: "run" as const, run }))];
  }

  #apply(change: Change): void {
    if (change.type === "request" || change.type === "drained") return;
    const runId = change.type === "run" ? change.run.runId : change.runId;
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

/** The spec's recipe, checked. Errors: `invalid_argument`. */
export function completeRecipe({
  modelId,
  dataset,
  evalDataset,
  outputDir,
  recipe,
  ...resume
}: RunSpec): CompleteRecipe {
  const missing = (field: string) => new GradpoolError("invalid_argument", `${field} is missing`);
  if (!modelId) throw missing("model_id");
  if (dataset.length === 0) throw missing("dataset");
  if (!outputDir) throw missing("output_dir");
  if (!recipe) throw missing("recipe");
  if ((resume.resumeIfExists || resume.resumeWeightsOnly) && !resume.resumeFrom) {
    const flag = resume.resumeIfExists ? "resume_if_exists" : "resume_weights_only";
    throw new GradpoolError("invalid_argument", `${flag} needs resume_from: a checkpoint folder, or "latest"`);
  }
  checkRecipe(recipe);
  const field = evaluationField(recipe);
  if (field && evalDataset.length === 0) {
    throw new GradpoolError("invalid_argument", `${field} needs eval_dataset: the held-out data`);
  }
  return recipe as Recipe & { lora: LoraRecipe };
}

/** What the recipe asks for that only evaluations give. */
function evaluationField({ evalEvery, loadBestModelAtEnd, earlyStoppingPatience }: Recipe): string | undefined {
  if (loadBestModelAtEnd) return "load_best_model_at_end";
  if (earlyStoppingPatience > 0) return "early_stopping_patience";
  return evalEvery > 0 ? "eval_every" : undefined;
}

/** Sorts by time of submission. */
const newRunId = () => `run-${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
