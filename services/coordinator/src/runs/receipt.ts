/** What a run's result depends on, and how a checkpoint's run differs from this one. */
import { recipeDifferences, type CheckedRecipe } from "@gradpool/recipe";
import type { RunSpec, TokenizerInfo } from "@gradpool/rpc";
import type { Receipt, SavedState } from "@gradpool/run-folder";
import type { OpenedModel } from "./opened-model.js";
import type { Platform } from "./platform.js";

/** Hashes of training and held-out data; empty: none is held out. */
export interface DatasetHashes {
  datasetHash: string;
  evalDatasetHash: string;
}

/** The parts of a run's base and data that its receipt names. */
interface Examined extends DatasetHashes {
  source: Pick<OpenedModel, "modelHash">;
  tokenizer: Pick<TokenizerInfo, "tokenizerHash">;
}

export function receiptOf(
  { dataset, evalDataset }: RunSpec,
  { source, tokenizer, datasetHash, evalDatasetHash }: Examined,
  platform: Platform,
): Receipt {
  return {
    model: source.modelHash,
    tokenizer: tokenizer.tokenizerHash,
    dataset,
    dataset_hash: datasetHash,
    eval_dataset: evalDataset,
    eval_dataset_hash: evalDatasetHash,
    device_class: platform.deviceClass,
    runtime: platform.version,
  };
}

/** Differences between a checkpoint's run and this one, for users. `mayDiffer`: fields of the recipe to leave out. */
export function differences(
  theirs: Pick<SavedState, "receipt" | "recipe">,
  recipe: CheckedRecipe,
  receipt: Receipt,
  mayDiffer: readonly string[] = [],
): string[] {
  const found: string[] = [];
  const compare = (name: string, there: unknown, here: unknown) => {
    const [a, b] = [JSON.stringify(there), JSON.stringify(here)];
    if (a !== b) found.push(`${name} was ${shortened(a)}, now ${shortened(b)}`);
  };
  for (const [name, here] of Object.entries(receipt)) compare(name, theirs.receipt[name as keyof Receipt], here);
  for (const { name, there, here } of recipeDifferences(theirs.recipe, recipe)) {
    if (!mayDiffer.includes(name)) compare(name, there, here);
  }
  return found;
}

const shortened = (json: string | undefined) => (json && json.length > 60 ? `${json.slice(0, 59)}…` : String(json));
