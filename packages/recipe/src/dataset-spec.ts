/** A recipe as the data-stream's contract carries it: whole, and for older peers the fields that it had of its own. */
import type { DatasetSpec, Recipe } from "@gradpool/rpc";
import { defaultRecipe } from "./recipe.js";

/** Fields of DatasetSpec from before it carried a recipe, and their names in the recipe. */
const FORMER = {
  textColumn: "textColumn",
  promptColumn: "promptColumn",
  completionColumn: "completionColumn",
  messagesColumn: "messagesColumn",
  maxLength: "maxLength",
  batchSize: "batchSize",
  appendEos: "appendEos",
  packing: "packing",
  shuffleBuffer: "shuffleBuffer",
  seed: "seed",
  sourceWeights: "datasetWeights",
  config: "datasetConfig",
  split: "datasetSplit",
} as const satisfies Partial<Record<keyof DatasetSpec, keyof Recipe>>;

type FormerFields = Pick<DatasetSpec, keyof typeof FORMER>;

const PAIRS = Object.entries(FORMER) as [keyof FormerFields, keyof Recipe][];

/** The recipe, and the fields that an older data-stream reads instead. */
export function datasetFields(recipe: Recipe): FormerFields & Pick<DatasetSpec, "recipe"> {
  return {
    ...(Object.fromEntries(PAIRS.map(([own, name]) => [own, recipe[name]])) as unknown as FormerFields),
    recipe,
  };
}

/** The recipe that a data set is read by; an older client gives only fields of the spec's own. */
export function recipeOfDataset(spec: DatasetSpec): Recipe {
  if (spec.recipe) return spec.recipe;
  return { ...defaultRecipe(), ...Object.fromEntries(PAIRS.map(([own, name]) => [name, spec[own]])) };
}
