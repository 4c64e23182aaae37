/** metrics.json: what a run made, for people and other programs. */
import { duration } from "@gradpool/format";
import { recipeJson, type CheckedRecipe } from "@gradpool/recipe";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";
import { z } from "zod";
import { jsonBytes, parsed, type FileProblem } from "./file-problem.js";
import { evaluationJson, evaluationsSchema, snakeKeys, stepJson, stepsSchema } from "./json.js";
import { METRICS_FILE } from "./names.js";
import type { LossScaling } from "./trainer-state.js";

const names = z.union([z.string(), z.array(z.string())]);

const schema = z
  .object({
    run_id: z.string(),
    model_id: z.string(),
    dataset: names,
    eval_dataset: names.default([]),
    recipe: z.record(z.string(), z.unknown()),
    steps: stepsSchema,
    evaluations: evaluationsSchema.default([]),
  })
  .transform(({ run_id: runId, model_id: modelId, eval_dataset: evalDataset, ...others }) => ({
    ...{ runId, modelId, evalDataset },
    ...others,
  }));
export type Metrics = z.infer<typeof schema>;

export interface MetricsFacts {
  runId: string;
  modelId: string;
  dataset: readonly string[];
  recipe: CheckedRecipe;
  steps: readonly StepMetrics[];
  /** Undefined: nothing is held out. */
  heldOut: { evalDataset: readonly string[]; evaluations: readonly Evaluation[]; resultStep: number } | undefined;
  /** Undefined where the loss is not scaled. */
  lossScaling: LossScaling | undefined;
}

export function metricsBytes({
  runId,
  modelId,
  dataset,
  recipe,
  steps,
  heldOut,
  lossScaling,
}: MetricsFacts): Uint8Array {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  return jsonBytes({
    run_id: runId,
    model_id: modelId,
    dataset,
    ...(heldOut && { eval_dataset: heldOut.evalDataset }),
    recipe: recipeJson(recipe),
    steps: steps.map(stepJson),
    ...(heldOut && { evaluations: heldOut.evaluations.map(evaluationJson), result_step: heldOut.resultStep }),
    ...(lossScaling && { loss_scaling: snakeKeys(lossScaling) }),
    totals: { steps: steps.length, tokens: totalTokens(steps), seconds, duration: duration(seconds) },
  });
}

/** Reads metrics.json, or says what is wrong with it. */
export const parseMetrics = (bytes: Uint8Array): Metrics | FileProblem => parsed(bytes, schema, METRICS_FILE);

/** Target tokens. */
export const totalTokens = (steps: readonly StepMetrics[]): number =>
  steps.reduce((sum, { tokens }) => sum + tokens, 0);
