/** metrics.json: what a run made, for people and other programs. */
import { duration } from "@gradpool/format";
import { recipeJson, type CheckedRecipe } from "@gradpool/recipe";
import type { Evaluation, RowCounts, StepMetrics } from "@gradpool/rpc";
import { z } from "zod";
import { parsed, type FileProblem } from "./file-problem.js";
import { evaluationJson, evaluationsSchema, snakeKeys, stepJson, stepsSchema } from "./json.js";
import { METRICS_FILE } from "./names.js";
import type { LossScaling } from "./trainer-state.js";

const names = z.union([z.string(), z.array(z.string())]);

const schema = z
  .object({
    run_id: z.string(),
    run_name: z.string().default(""),
    model_id: z.string(),
    dataset: names,
    eval_dataset: names.default([]),
    recipe: z.record(z.string(), z.unknown()),
    steps: stepsSchema,
    evaluations: evaluationsSchema.default([]),
  })
  .transform(({ run_id: runId, run_name: runName, model_id: modelId, eval_dataset: evalDataset, ...others }) => ({
    ...{ runId, runName, modelId, evalDataset },
    ...others,
  }));
export type Metrics = z.infer<typeof schema>;

export interface MetricsFacts {
  runId: string;
  /** Empty: it has none. */
  runName: string;
  tags: readonly string[];
  modelId: string;
  dataset: readonly string[];
  recipe: CheckedRecipe;
  steps: readonly StepMetrics[];
  /** Of the rows that they were made from. */
  rowCounts: RowCounts;
  /** Undefined: nothing is held out. */
  heldOut: { evalDataset: readonly string[]; evaluations: readonly Evaluation[]; resultStep: number } | undefined;
  /** Undefined where the loss is not scaled. */
  lossScaling: LossScaling | undefined;
}

/** Steps in a piece of metrics.json: a fraction of a millisecond's work. */
const STEPS_IN_PIECE = 100;
/** Where the steps go: a text in JSON has no line breaks. */
const NO_STEPS = '\n  "steps": []';

/** metrics.json in pieces, so that the writer of a long one can do other things in between. */
export function* metricsPieces(facts: MetricsFacts): Generator<Uint8Array> {
  const { runId, runName, tags, modelId, dataset, recipe, steps, rowCounts, heldOut, lossScaling } = facts;
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const frame = JSON.stringify(
    {
      run_id: runId,
      ...(runName && { run_name: runName }),
      ...(tags.length > 0 && { tags }),
      model_id: modelId,
      dataset,
      ...(heldOut && { eval_dataset: heldOut.evalDataset }),
      recipe: recipeJson(recipe),
      steps: [],
      ...(heldOut && { evaluations: heldOut.evaluations.map(evaluationJson), result_step: heldOut.resultStep }),
      ...(lossScaling && { loss_scaling: snakeKeys(lossScaling) }),
      row_counts: snakeKeys(rowCounts),
      totals: { steps: steps.length, tokens: totalTokens(steps), seconds, duration: duration(seconds) },
    },
    undefined,
    2,
  );
  const text = new TextEncoder();
  const place = frame.indexOf(NO_STEPS) + NO_STEPS.length - 1;
  yield text.encode(frame.slice(0, place));
  for (let i = 0; i < steps.length; i += STEPS_IN_PIECE) {
    const piece = steps.slice(i, i + STEPS_IN_PIECE).map((step) => JSON.stringify(stepJson(step), undefined, 2));
    const lines = piece.join(",\n").replaceAll("\n", "\n    ");
    yield text.encode(`${i === 0 ? "" : ","}\n    ${lines}`);
  }
  yield text.encode(`${steps.length === 0 ? "" : "\n  "}${frame.slice(place)}\n`);
}

/** Reads metrics.json, or says what is wrong with it. */
export const parseMetrics = (bytes: Uint8Array): Metrics | FileProblem => parsed(bytes, schema, METRICS_FILE);

/** Enough of metrics.json for runIdOfMetrics. */
export const METRICS_HEAD_BYTES = 1024;

/** The run that wrote a metrics.json, by its first bytes; undefined: it cannot be said. */
export function runIdOfMetrics(head: Uint8Array): string | undefined {
  const [, text] = /^\{\s*"run_id":\s*("(?:[^"\\]|\\.)*")/.exec(new TextDecoder().decode(head)) ?? [];
  return text === undefined ? undefined : (JSON.parse(text) as string);
}

/** Target tokens. */
export const totalTokens = (steps: readonly StepMetrics[]): number =>
  steps.reduce((sum, { tokens }) => sum + tokens, 0);
