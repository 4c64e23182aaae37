import type { DataRecipe, MicroBatch as DataMicroBatch } from "@gradpool/data";
import { GradpoolError } from "@gradpool/errors";
import { checkedRecipe, recipeOfDataset, splitOf, type SplitSelection } from "@gradpool/recipe";
import type { DatasetSpec, MicroBatch, TokenizerRef } from "@gradpool/rpc";

export interface RequestedDataset {
  sources: string[];
  /** Undefined: one source after the other. */
  weights: readonly number[] | undefined;
  selection: SplitSelection;
  recipe: DataRecipe;
  tokenizer: TokenizerRef;
}

/** Errors: `invalid_argument`. */
export function requestedDataset(spec: DatasetSpec | undefined): RequestedDataset {
  if (!spec) throw new GradpoolError("invalid_argument", "dataset is missing; fill in every field of it");
  const { sources, tokenizer, maxRows, heldOut } = spec;
  if (!tokenizer)
    throw new GradpoolError("invalid_argument", "dataset.tokenizer is missing; name the model's tokenizer");
  const recipe = checkedRecipe(recipeOfDataset(spec));
  const { datasetWeights } = recipe;
  const weights = datasetWeights.length > 0 ? datasetWeights : undefined;
  const selection = splitOf({ recipe, heldOut });
  return { sources, weights, selection, recipe: { ...recipe, maxRows, heldOut }, tokenizer };
}

export function microBatchMessage(microBatch: DataMicroBatch): MicroBatch {
  const { ids } = microBatch;
  return { ...microBatch, ids: new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength) };
}
