/**
 * What a micro-batch takes of a trainer at the least: for a refusal with a number instead of trainers that fail or are killed
 * one after the other. The memory that is measured is two to three times as much (docs/numbers.md).
 */
import type { ModelDescription } from "@gradpool/models";
import type { CheckedRecipe } from "@gradpool/recipe";
import type { MicroBatch } from "@gradpool/rpc";
import type { LargestTensor, Needs } from "../core/state.js";

const FLOAT_BYTES = 4;
const HALF_BYTES = 2;
/** Of the base's weights with base_precision int8: matrices need be there in 8 bits alone. */
const INT8_BYTES = 1;

type Description = Pick<ModelDescription, "modules" | "parameters">;
type Precision = Pick<CheckedRecipe, "dtype" | "basePrecision">;
type Size = Pick<MicroBatch, "rows" | "rowLength">;

export const trainerNeeds = (
  description: Description & Pick<ModelDescription, "vocabSize">,
  recipe: Precision & Pick<CheckedRecipe, "gradientCheckpointing">,
  size: Size,
): Needs => ({
  leastBytes: leastTrainerBytes(description, recipe, size),
  largestTensor: largestTensor(description, recipe, size),
});

/**
 * Bytes of the weights, and of what the backward pass needs of the forward pass: the output of each linear layer [N, out], or
 * with gradient checkpointing the input of each block [N, C] and the outputs of one. Attention's probabilities, gradients,
 * some rows of logits (all of them on a GPU) and what the runtime itself needs come on top.
 */
export function leastTrainerBytes(
  { modules, parameters }: Description,
  { dtype, basePrecision, gradientCheckpointing }: Precision & Pick<CheckedRecipe, "gradientCheckpointing">,
  size: Size,
): number {
  const blocks = Math.max(1, new Set(modules.map(({ name }) => /\.(\d+)\./.exec(name)?.[1])).size);
  const outputs = modules.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  const width = Math.min(...modules.map(({ inFeatures }) => inFeatures));
  const kept = gradientCheckpointing ? blocks * width + outputs / blocks : outputs;
  const floatBytes = dtype === "float16" ? HALF_BYTES : FLOAT_BYTES;
  const weightBytes = basePrecision === "float32" ? floatBytes : INT8_BYTES;
  return weightBytes * parameters + floatBytes * tokensOf(size) * kept;
}

/**
 * What needs the largest buffer of a GPU: a weight, the logits [N, V], all of which are there at once on a GPU, or the output
 * of a linear layer [N, out], in float32. Attention's probabilities [B, H, S, S] may be larger still.
 */
export function largestTensor(
  { modules, vocabSize }: Pick<ModelDescription, "modules" | "vocabSize">,
  { dtype }: Pick<CheckedRecipe, "dtype">,
  size: Size,
): LargestTensor {
  const width = Math.min(...modules.map(({ inFeatures }) => inFeatures));
  const weightBytes = dtype === "float16" ? HALF_BYTES : FLOAT_BYTES;
  const tokens = tokensOf(size);
  const tensors = [
    { bytes: weightBytes * vocabSize * width, name: "the weights of the embedding", ofMicroBatch: false },
    { bytes: FLOAT_BYTES * tokens * vocabSize, name: "the logits of a micro-batch", ofMicroBatch: true },
    ...modules.flatMap(({ name, inFeatures, outFeatures }) => [
      { bytes: weightBytes * inFeatures * outFeatures, name: `the weights of ${name}`, ofMicroBatch: false },
      { bytes: FLOAT_BYTES * tokens * outFeatures, name: `the outputs of ${name}`, ofMicroBatch: true },
    ]),
  ];
  return tensors.reduce((largest, tensor) => (tensor.bytes > largest.bytes ? tensor : largest));
}

/** The last token of a row is a target only. */
const tokensOf = ({ rows, rowLength }: Size): number => rows * (rowLength - 1);
