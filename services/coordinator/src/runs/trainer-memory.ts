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

/** For one model and recipe; what depends on the size of a micro-batch alone is computed for each. */
export function trainerNeeds(
  description: Description & Pick<ModelDescription, "vocabSize">,
  recipe: Precision & Pick<CheckedRecipe, "gradientCheckpointing">,
): (size: Size) => Needs {
  const [bytesOf, tensorOf] = [leastTrainerBytes(description, recipe), largestTensor(description, recipe)];
  return (size) => ({ leastBytes: bytesOf(size), largestTensor: tensorOf(size) });
}

/**
 * Bytes of the weights, and of what the backward pass needs of the forward pass: the output of each linear layer [N, out], or
 * with gradient checkpointing the input of each block [N, C] and the outputs of one. Attention's probabilities, gradients,
 * some rows of logits (all of them on a GPU) and what the runtime itself needs come on top.
 */
export function leastTrainerBytes(
  { modules, parameters }: Description,
  { dtype, basePrecision, gradientCheckpointing }: Precision & Pick<CheckedRecipe, "gradientCheckpointing">,
): (size: Size) => number {
  const blocks = Math.max(1, new Set(modules.map(({ name }) => /\.(\d+)\./.exec(name)?.[1])).size);
  const outputs = modules.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  const kept = gradientCheckpointing ? blocks * widthOf(modules) + outputs / blocks : outputs;
  const floatBytes = dtype === "float16" ? HALF_BYTES : FLOAT_BYTES;
  const weightBytes = basePrecision === "float32" ? floatBytes : INT8_BYTES;
  return (size) => weightBytes * parameters + floatBytes * tokensOf(size) * kept;
}

/**
 * What needs the largest buffer of a GPU: a weight, the logits [N, V], all of which are there at once on a GPU, or the output
 * of a linear layer [N, out], in float32. Attention's probabilities [B, H, S, S] may be larger still.
 */
export function largestTensor(
  { modules, vocabSize }: Pick<ModelDescription, "modules" | "vocabSize">,
  { dtype }: Pick<CheckedRecipe, "dtype">,
): (size: Size) => LargestTensor {
  const weightBytes = dtype === "float16" ? HALF_BYTES : FLOAT_BYTES;
  const weights = modules.map(({ name, inFeatures, outFeatures }) => ({
    bytes: weightBytes * inFeatures * outFeatures,
    name: `the weights of ${name}`,
  }));
  const embedding = { bytes: weightBytes * vocabSize * widthOf(modules), name: "the weights of the embedding" };
  // Of each token.
  const outputs = modules.map(({ name, outFeatures }) => ({
    bytes: FLOAT_BYTES * outFeatures,
    name: `the outputs of ${name}`,
  }));
  const logits = { bytes: FLOAT_BYTES * vocabSize, name: "the logits of a micro-batch" };
  const [weight, output] = [largest([embedding, ...weights]), largest([logits, ...outputs])];
  return (size) => {
    const bytes = tokensOf(size) * output.bytes;
    return bytes > weight.bytes ? { ...output, bytes, ofMicroBatch: true } : { ...weight, ofMicroBatch: false };
  };
}

type Sized = Pick<LargestTensor, "bytes" | "name">;

const largest = (tensors: readonly Sized[]): Sized =>
  tensors.reduce((most, tensor) => (tensor.bytes > most.bytes ? tensor : most));

const widthOf = (modules: Description["modules"]): number => Math.min(...modules.map(({ inFeatures }) => inFeatures));

/** The last token of a row is a target only. */
const tokensOf = ({ rows, rowLength }: Size): number => rows * (rowLength - 1);
