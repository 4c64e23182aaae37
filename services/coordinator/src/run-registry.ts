import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { checkRecipe } from "@gradpool/recipe";
import { RunSpec, RunState, type LoraRecipe, type Recipe, type Run } from "@gradpool/rpc";
import type { CompleteRecipe } from "./runs/prepare.js";
import { RunRecord } from "./runs/run-record.js";

export interface NewRun {
  runId: string;
  spec: RunSpec;
  recipe: CompleteRecipe;
  record: RunRecord;
}

/** All runs that this coordinator knows, and the requests that made them. */
export class RunRegistry {
  readonly #records = new Map<string, RunRecord>();
  /** What was asked for under a request id, and the run that came of it. */
  readonly #requests = new Map<string, { content: string; runId: string }>();

  /** Newest first. */
  list(): Run[] {
    return [...this.#records.values()].map(({ run }) => run).reverse();
  }

  /** Errors: `not_found`. */
  get(runId: string): RunRecord {
    const record = this.#records.get(runId);
    if (record) return record;
    throw new GradpoolError("not_found", `there is no run ${runId}; "gradpool run list" shows those there are`);
  }

  /**
   * A new run, or the one that the same request made before (I4). Errors: `already_exists` when the
   * request id was used for something else, `invalid_argument`, and `failed_precondition` when another
   * run writes into the same folder.
   */
  submit(requestId: string, spec: RunSpec | undefined): { record: RunRecord; created?: NewRun } {
    if (!requestId) throw new GradpoolError("invalid_argument", "request_id is empty; give a UUID of your own");
    if (!spec) throw new GradpoolError("invalid_argument", "spec is missing");
    const content = Buffer.from(RunSpec.encode(spec).finish()).toString("base64");
    const known = this.#request(requestId, content);
    if (known) return { record: known };
    const recipe = checkSpec(spec);
    for (const { run, hasEnded } of this.#records.values()) {
      if (hasEnded || resolve(run.spec?.outputDir ?? "") !== resolve(spec.outputDir)) continue;
      const problem = `output_dir ${spec.outputDir} is in use by ${run.runId}`;
      throw new GradpoolError("failed_precondition", `${problem}; choose another output_dir, or cancel that run`);
    }
    const runId = newRunId();
    const record = new RunRecord({
      runId,
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
    });
    this.#records.set(runId, record);
    this.#requests.set(requestId, { content, runId });
    return { record, created: { runId, spec, recipe, record } };
  }

  /** The run to cancel, which may have been cancelled before. Errors: `not_found`, `already_exists`, `failed_precondition`. */
  cancel(requestId: string, runId: string): RunRecord {
    if (!requestId) throw new GradpoolError("invalid_argument", "request_id is empty; give a UUID of your own");
    const record = this.get(runId);
    const content = `cancel ${runId}`;
    const known = this.#request(requestId, content);
    if (known) return known;
    if (record.hasEnded) this.requireCancelled(record);
    this.#requests.set(requestId, { content, runId });
    return record;
  }

  /** Errors: `failed_precondition` when the run has ended otherwise. */
  requireCancelled(record: RunRecord): RunRecord {
    const { runId, state } = record.run;
    if (state === RunState.RUN_STATE_CANCELLED) return record;
    const how = state === RunState.RUN_STATE_COMPLETED ? "completed" : "failed";
    throw new GradpoolError("failed_precondition", `run ${runId} has ${how} already; there is nothing to cancel`);
  }

  #request(requestId: string, content: string): RunRecord | undefined {
    const known = this.#requests.get(requestId);
    if (!known) return undefined;
    if (known.content === content) return this.get(known.runId);
    throw new GradpoolError("already_exists", `request_id ${requestId} was used for something else; choose a new one`);
  }
}

function checkSpec({ modelId, dataset, outputDir, recipe }: RunSpec): CompleteRecipe {
  const missing = (field: string) => new GradpoolError("invalid_argument", `${field} is missing`);
  if (!modelId) throw missing("model_id");
  if (dataset.length === 0) throw missing("dataset");
  if (!outputDir) throw missing("output_dir");
  if (!recipe) throw missing("recipe");
  checkRecipe(recipe);
  return recipe as Recipe & { lora: LoraRecipe };
}

/** Sorts by time of submission. */
const newRunId = () => `run-${Date.now().toString(36)}-${randomBytes(3).toString("hex")}`;
