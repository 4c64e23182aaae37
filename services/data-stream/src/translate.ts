import { checkDataRecipe, type DataRecipe, type MicroBatch as DataMicroBatch } from "@gradpool/data";
import { GradpoolError } from "@gradpool/errors";
import type { DatasetSpec, MicroBatch, TokenizerRef } from "@gradpool/rpc";

export interface RequestedDataset {
  sources: string[];
  /** Undefined: one source after the other. */
  weights: readonly number[] | undefined;
  recipe: DataRecipe;
  tokenizer: TokenizerRef;
}

/** Errors: `invalid_argument`. */
export function requestedDataset(spec: DatasetSpec | undefined): RequestedDataset {
  if (!spec) throw new GradpoolError("invalid_argument", "dataset is missing; fill in every field of it");
  const { sources, sourceWeights, tokenizer, ...recipe } = spec;
  if (!tokenizer)
    throw new GradpoolError("invalid_argument", "dataset.tokenizer is missing; name the model's tokenizer");
  checkDataRecipe(recipe);
  return { sources, weights: sourceWeights.length > 0 ? sourceWeights : undefined, recipe, tokenizer };
}

export function microBatchMessage(microBatch: DataMicroBatch): MicroBatch {
  const { ids } = microBatch;
  return { ...microBatch, ids: new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength) };
}
