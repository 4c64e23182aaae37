/** How messages are written into the folder's JSON files. */
import { snakeCase } from "@gradpool/recipe";
import type { Evaluation, RowCounts, StepMetrics } from "@gradpool/rpc";
import { z } from "zod";

/** JSON has no NaN: it becomes null. */
const number = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);
const seconds = z.number().nonnegative().default(NaN);

const step = z
  .object({
    step: z.int().positive(),
    epoch: z.int().nonnegative(),
    loss: number,
    grad_norm: number,
    learning_rate: number,
    tokens: z.int().nonnegative(),
    seconds,
  })
  .transform(({ grad_norm: gradNorm, learning_rate: learningRate, ...others }): StepMetrics => ({
    ...others,
    gradNorm,
    learningRate,
  }));

const rowCount = z.int().nonnegative().default(0);

/** Files of older versions have none. */
export const rowCountsSchema = z
  .object({
    rows: rowCount,
    rows_cut: rowCount,
    rows_without_eos: rowCount,
    rows_without_target: rowCount,
    steps_without_target: rowCount,
  })
  .prefault({})
  .transform((counts): RowCounts => ({
    rows: counts.rows,
    rowsCut: counts.rows_cut,
    rowsWithoutEos: counts.rows_without_eos,
    rowsWithoutTarget: counts.rows_without_target,
    stepsWithoutTarget: counts.steps_without_target,
  }));

const evaluation = z.object({
  step: z.int().nonnegative(),
  epoch: z.int().nonnegative().default(0),
  loss: number,
  perplexity: number.default(NaN),
  tokens: z.int().nonnegative().default(0),
  seconds,
});

/** Steps and evaluations; `seconds` is NaN where it is not known. */
export const stepsSchema = z.array(step);
export const evaluationsSchema = z.array(evaluation);

export function stepJson({ step, epoch, loss, gradNorm, learningRate, tokens, seconds }: StepMetrics) {
  return { step, epoch, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens, seconds };
}

export const evaluationJson = (evaluation: Evaluation): object => ({ ...evaluation });

/** As protobuf's field names: learningRate becomes learning_rate. */
export function snakeKeys(message: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(message).map(([key, value]) => [snakeCase(key), value as unknown]));
}
