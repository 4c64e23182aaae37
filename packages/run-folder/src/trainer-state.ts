/** trainer_state.json: all that decides a run's future besides its tensors. */
import { warmupStepsOf, type LossScalerState } from "@gradpool/optim";
import { recipeJson, type CheckedRecipe } from "@gradpool/recipe";
import { Cursor, type Evaluation, type RowCounts, type StepMetrics } from "@gradpool/rpc";
import { z } from "zod";
import { jsonBytes, parsed, type FileProblem } from "./file-problem.js";
import { evaluationJson, evaluationsSchema, rowCountsSchema, snakeKeys, stepJson, stepsSchema } from "./json.js";
import { TRAINER_STATE_FILE } from "./names.js";

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
  steps: stepsSchema,
  row_counts: rowCountsSchema,
  evaluations: evaluationsSchema.default([]),
  evaluation_pending: z.boolean().default(false),
  schedule: z.object({ next_learning_rate: z.number().nonnegative().optional() }).default({}),
  loss_scaling: z
    .object({
      scale: z.number().positive(),
      good_steps: z.int().nonnegative(),
      skipped_steps: z.array(z.int().positive()),
    })
    .transform(({ scale, good_steps: goodSteps, skipped_steps: skippedSteps }) => ({ scale, goodSteps, skippedSteps }))
    .optional(),
  run: z.object({
    run_id: z.string(),
    seconds: z.array(z.number()),
    evaluation_seconds: z.array(z.number()).default([]),
    continues: z.array(z.string()).default([]),
  }),
});

/** How a run's loss is scaled. */
export interface LossScaling extends LossScalerState {
  /** Steps whose gradients were not finite, from 1. */
  skippedSteps: readonly number[];
}

/** What a checkpoint says of its run. */
export interface SavedState {
  runId: string;
  /** Runs that it continues, the first of them first. */
  continuedRunIds: string[];
  /** Of the last step. */
  epoch: number;
  step: number;
  totalSteps: number;
  /** Where the data is after the last step. */
  cursor: Cursor;
  /** Under the contract's names. */
  recipe: Record<string, unknown>;
  receipt: Receipt;
  /** All steps and evaluations so far. */
  steps: StepMetrics[];
  /** Of the rows that the steps were made from. */
  rowCounts: RowCounts;
  evaluations: Evaluation[];
  /** An evaluation of the current adapter was due. */
  evaluationPending: boolean;
  /** Undefined where the loss is not scaled. */
  lossScaling: LossScaling | undefined;
  /** Learning rate of the next step, where it is not the schedule's. */
  nextLearningRate: number | undefined;
}

export interface StateFacts extends Omit<SavedState, "epoch" | "step" | "recipe" | "steps" | "evaluations"> {
  recipe: CheckedRecipe;
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
}

/** All but `run` has the same bytes whenever the run is repeated (I2). */
export function trainerStateBytes(facts: StateFacts): Uint8Array {
  const { runId, recipe, totalSteps, receipt, steps, rowCounts, evaluations } = facts;
  const { evaluationPending, lossScaling, cursor } = facts;
  const { continuedRunIds, nextLearningRate } = facts;
  const last = steps.at(-1);
  return jsonBytes({
    epoch: last?.epoch ?? 0,
    step: last?.step ?? 0,
    total_steps: totalSteps,
    schedule: {
      lr_scheduler: recipe.lrScheduler,
      warmup_steps: warmupStepsOf(recipe, totalSteps),
      last_learning_rate: last?.learningRate,
      next_learning_rate: nextLearningRate,
    },
    seed: recipe.seed,
    cursor: snakeKeys(cursor),
    recipe: recipeJson(recipe),
    receipt,
    steps: steps.map((step) => ({ ...stepJson(step), seconds: undefined })),
    row_counts: snakeKeys(rowCounts),
    evaluations: evaluations.map((evaluation) => ({ ...evaluationJson(evaluation), seconds: undefined })),
    evaluation_pending: evaluationPending,
    loss_scaling: lossScaling && snakeKeys(lossScaling),
    run: {
      run_id: runId,
      seconds: steps.map(({ seconds }) => seconds),
      evaluation_seconds: evaluations.map(({ seconds }) => seconds),
      continues: continuedRunIds.length > 0 ? continuedRunIds : undefined,
    },
  });
}

/** A million steps take half of it. */
export const MAX_TRAINER_STATE_BYTES = 2 ** 28;

/** Reads trainer_state.json, or says what is wrong with it. */
export function parseTrainerState(bytes: Uint8Array): SavedState | FileProblem {
  if (bytes.byteLength > MAX_TRAINER_STATE_BYTES) {
    return `${TRAINER_STATE_FILE} has ${bytes.byteLength} bytes, where ${MAX_TRAINER_STATE_BYTES} are read`;
  }
  const state = parsed(bytes, schema, TRAINER_STATE_FILE);
  if (typeof state === "string") return state;
  const { run, evaluation_pending: evaluationPending, loss_scaling: lossScaling } = state;
  const { epoch, step, recipe, receipt } = state;
  if (state.steps.length !== step || run.seconds.length !== step) {
    return `${TRAINER_STATE_FILE} has ${state.steps.length} steps instead of ${step}`;
  }
  return {
    ...{ runId: run.run_id, epoch, step, recipe, receipt, evaluationPending, lossScaling },
    continuedRunIds: run.continues,
    nextLearningRate: state.schedule.next_learning_rate,
    totalSteps: state.total_steps,
    cursor: Cursor.fromJSON(state.cursor),
    steps: state.steps.map((made, i) => ({ ...made, seconds: run.seconds[i] ?? 0 })),
    rowCounts: state.row_counts,
    evaluations: state.evaluations.map((made, i) => ({ ...made, seconds: run.evaluation_seconds[i] ?? 0 })),
  };
}
