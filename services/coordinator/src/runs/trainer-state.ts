/** trainer_state.json: all that decides a run's future besides its tensors, written and read in one place. */
import { GradpoolError } from "@gradpool/errors";
import { warmupStepsOf } from "@gradpool/optim";
import { recipeDifferences, recipeJson, type CheckedRecipe } from "@gradpool/recipe";
import { Cursor, Evaluation, StepMetrics, type RunSpec } from "@gradpool/rpc";
import { z } from "zod";
import type { PreparedRun } from "./prepare.js";
import type { LossScaling } from "./training.js";

/** Hashes and names of what a result depends on: another value, another result. */
const receiptSchema = z.object({
  model: z.string(),
  tokenizer: z.string(),
  dataset: z.array(z.string()),
  dataset_hash: z.string(),
  eval_dataset: z.array(z.string()).default([]),
  eval_dataset_hash: z.string().default(""),
  device_class: z.string(),
  runtime: z.string(),
});
export type Receipt = z.infer<typeof receiptSchema>;

const schema = z.object({
  epoch: z.int().nonnegative(),
  step: z.int().nonnegative(),
  total_steps: z.int().positive(),
  cursor: z.record(z.string(), z.unknown()),
  recipe: z.record(z.string(), z.unknown()),
  receipt: receiptSchema,
  steps: z.array(z.record(z.string(), z.unknown())),
  evaluations: z.array(z.record(z.string(), z.unknown())).default([]),
  evaluation_pending: z.boolean().default(false),
  loss_scaling: z
    .object({
      scale: z.number().positive(),
      good_steps: z.int().nonnegative(),
      skipped_steps: z.array(z.int().positive()),
    })
    .optional(),
  run: z.object({
    run_id: z.string(),
    seconds: z.array(z.number()),
    evaluation_seconds: z.array(z.number()).default([]),
  }),
});

/** What a checkpoint says of its run. */
export interface TrainerState {
  /** Of the last step. */
  epoch: number;
  step: number;
  totalSteps: number;
  /** Where the data stands behind the last step. */
  cursor: Cursor;
  /** Under the contract's names. */
  recipe: Record<string, unknown>;
  receipt: Receipt;
  /** All steps and evaluations so far. */
  steps: StepMetrics[];
  evaluations: Evaluation[];
  /** The adapter as it is was to be evaluated. */
  evaluationPending: boolean;
  /** Undefined where the loss is not scaled. */
  lossScaling: LossScaling | undefined;
}

export interface StateFacts {
  runId: string;
  recipe: CheckedRecipe;
  totalSteps: number;
  receipt: Receipt;
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  evaluationPending: boolean;
  lossScaling: LossScaling | undefined;
  cursor: Cursor;
}

/** All but `run` has the same bytes whenever the run is repeated (I2). */
export function trainerStateJson(facts: StateFacts): object {
  const { runId, recipe, totalSteps, receipt, steps, evaluations, evaluationPending, lossScaling, cursor } = facts;
  const last = steps.at(-1);
  return {
    epoch: last?.epoch ?? 0,
    step: last?.step ?? 0,
    total_steps: totalSteps,
    schedule: {
      lr_scheduler: recipe.lrScheduler,
      warmup_steps: warmupStepsOf(recipe, totalSteps),
      last_learning_rate: last?.learningRate,
    },
    seed: recipe.seed,
    cursor: snakeKeys(cursor),
    recipe: recipeJson(recipe),
    receipt,
    steps: steps.map((step) => ({ ...stepJson(step), seconds: undefined })),
    evaluations: evaluations.map((evaluation) => ({ ...evaluation, seconds: undefined })),
    evaluation_pending: evaluationPending,
    loss_scaling: lossScaling && snakeKeys(lossScaling),
    run: {
      run_id: runId,
      seconds: steps.map(({ seconds }) => seconds),
      evaluation_seconds: evaluations.map(({ seconds }) => seconds),
    },
  };
}

/** Errors: `data_loss`, naming `path`, when it is no trainer_state.json of this version. */
export function parseTrainerState(bytes: Uint8Array, path: string): TrainerState {
  const result = schema.safeParse(parseJson(bytes, path));
  const state = result.data;
  if (!state) {
    const issue = result.error?.issues[0];
    throw unreadable(path, `${issue?.path.join(".") ?? "it"}: ${issue?.message ?? "is wrong"}`);
  }
  if (state.steps.length !== state.step || state.run.seconds.length !== state.step) {
    throw unreadable(path, `it has ${state.steps.length} steps instead of ${state.step}`);
  }
  return {
    epoch: state.epoch,
    step: state.step,
    totalSteps: state.total_steps,
    cursor: Cursor.fromJSON(state.cursor),
    recipe: state.recipe,
    receipt: state.receipt,
    steps: state.steps.map((step, i) => StepMetrics.fromJSON({ ...step, seconds: state.run.seconds[i] })),
    evaluations: state.evaluations.map((evaluation, i) =>
      Evaluation.fromJSON({ ...evaluation, seconds: state.run.evaluation_seconds[i] }),
    ),
    evaluationPending: state.evaluation_pending,
    lossScaling: lossScalingOf(state.loss_scaling),
  };
}

function lossScalingOf(saved: z.infer<typeof schema>["loss_scaling"]): LossScaling | undefined {
  return saved && { scale: saved.scale, goodSteps: saved.good_steps, skippedSteps: saved.skipped_steps };
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw unreadable(path, "it is not valid JSON");
  }
}

const unreadable = (path: string, what: string) =>
  new GradpoolError("data_loss", `${path}/trainer_state.json cannot be used: ${what}; go on from another checkpoint`);

/** Of training and held-out data; empty: none is held out. */
export type DatasetHashes = Pick<PreparedRun, "datasetHash" | "evalDatasetHash">;

export function receiptOf(
  { dataset, evalDataset }: RunSpec,
  { source, tokenizer, datasetHash, evalDatasetHash }: Pick<PreparedRun, "source" | "tokenizer"> & DatasetHashes,
  runtime: { deviceClass: string; version: string },
): Receipt {
  return {
    model: source.modelHash,
    tokenizer: tokenizer.tokenizerHash,
    dataset,
    dataset_hash: datasetHash,
    eval_dataset: evalDataset,
    eval_dataset_hash: evalDatasetHash,
    device_class: runtime.deviceClass,
    runtime: runtime.version,
  };
}

/** What a checkpoint's run had otherwise than this one, for people. */
export function differences(
  theirs: Pick<TrainerState, "receipt" | "recipe">,
  recipe: CheckedRecipe,
  receipt: Receipt,
): string[] {
  const found: string[] = [];
  const compare = (name: string, there: unknown, here: unknown) => {
    const [a, b] = [JSON.stringify(there), JSON.stringify(here)];
    if (a !== b) found.push(`${name} was ${shortened(a)}, now ${shortened(b)}`);
  };
  for (const [name, here] of Object.entries(receipt)) compare(name, theirs.receipt[name as keyof Receipt], here);
  for (const { name, there, here } of recipeDifferences(theirs.recipe, recipe)) compare(name, there, here);
  return found;
}

const shortened = (json: string | undefined) => (json && json.length > 60 ? `${json.slice(0, 59)}…` : String(json));

export function stepJson({ step, epoch, loss, gradNorm, learningRate, tokens, seconds }: StepMetrics) {
  return { step, epoch, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens, seconds };
}

/** As protobuf's field names: learningRate becomes learning_rate. */
export function snakeKeys(message: object): Record<string, unknown> {
  const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(message).map(([key, value]) => [snake(key), value as unknown]));
}
