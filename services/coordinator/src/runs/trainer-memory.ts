/**
 * What a micro-batch takes of a trainer's memory at the least: for a refusal with a number instead of trainers that are killed
 * one after the other. What is measured is two to three times as much (docs/numbers.md).
 */
import type { ModelDescription } from "@gradpool/models";
import type { CheckedRecipe } from "@gradpool/recipe";
import type { MicroBatch } from "@gradpool/rpc";

const FLOAT_BYTES = 4;
const HALF_BYTES = 2;
/** Of the base's weights with base_precision int8: matrices need be there in 8 bits alone. */
const INT8_BYTES = 1;

/**
 * Bytes of the weights, and of what the backward pass needs of the forward pass: the output of each linear layer [N, out], or
 * with gradient checkpointing the input of each block [N, C] and the outputs of one. Attention's probabilities, gradients,
 * some rows of logits (all of them on a GPU) and what the runtime itself needs come on top.
 */
export function leastTrainerBytes(
  { modules, parameters }: Pick<ModelDescription, "modules" | "parameters">,
  {
    dtype,
    basePrecision,
    gradientCheckpointing,
  }: Pick<CheckedRecipe, "dtype" | "basePrecision" | "gradientCheckpointing">,
  { rows, rowLength }: Pick<MicroBatch, "rows" | "rowLength">,
): number {
  const blocks = Math.max(1, new Set(modules.map(({ name }) => /\.(\d+)\./.exec(name)?.[1])).size);
  const outputs = modules.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  const width = Math.min(...modules.map(({ inFeatures }) => inFeatures));
  const kept = gradientCheckpointing ? blocks * width + outputs / blocks : outputs;
  // The last token of a row is a target only.
  const tokens = rows * (rowLength - 1);
  const floatBytes = dtype === "float16" ? HALF_BYTES : FLOAT_BYTES;
  const weightBytes = basePrecision === "float32" ? floatBytes : INT8_BYTES;
  return weightBytes * parameters + floatBytes * tokens * kept;
}
