/** Which data a run trains on and which it is evaluated on: the sources, and the recipe that they are read by. */
import { GradpoolError } from "@gradpool/errors";
import type { Recipe, RunSpec } from "@gradpool/rpc";
import { heldOut } from "./recipe.js";
import { evaluationField } from "./rules.js";

/** Splits that hold data held out, where none is named: the first that there is. */
const HELD_OUT_SPLITS = "validation|valid|val|dev|test";

/** Data as a recipe reads it. */
export interface DataUse<R extends Recipe = Recipe> {
  sources: string[];
  recipe: R;
  /** It is read for evaluations. */
  heldOut: boolean;
}

/** A part of a data set: the config and split of one on the hub, or the split of a folder. */
export interface SplitSelection {
  config?: string;
  /** "a|b": the first that there is. */
  split?: string;
  /** Whoever asks for the split means that there is one: a file is refused. */
  needsSplit?: boolean;
}

/**
 * The data of a run; no held-out data where it is not evaluated. Without sources of its own, held-out data is a split of
 * the training data's (eval_split) or a share of its rows (eval_fraction).
 */
export function dataOf<R extends Recipe>(
  { dataset, evalDataset }: Pick<RunSpec, "dataset" | "evalDataset">,
  recipe: R,
): { training: DataUse<R>; heldOut: DataUse<R> | undefined } {
  const { evalFraction, evalSplit, datasetSplit } = recipe;
  const ofTraining = evalFraction > 0 || evalSplit !== "" ? dataset : [];
  const sources = evalDataset.length > 0 ? evalDataset : ofTraining;
  // Of a folder that holds splits, all files are read unless one is named.
  const isShared = evalFraction === 0 && sources.some((source) => dataset.includes(source));
  const trained = isShared && datasetSplit === "" ? { ...recipe, datasetSplit: "train" } : recipe;
  const training = { sources: dataset, recipe: trained, heldOut: false };
  if (sources.length === 0) return { training, heldOut: undefined };
  const split = evalFraction > 0 ? datasetSplit : evalSplit || HELD_OUT_SPLITS;
  return { training, heldOut: { sources, recipe: { ...heldOut(recipe), datasetSplit: split }, heldOut: true } };
}

export function splitOf({ recipe, heldOut: isHeldOut }: Pick<DataUse, "recipe" | "heldOut">): SplitSelection {
  const { datasetConfig: config, datasetSplit: split, evalSplit } = recipe;
  const needsSplit = isHeldOut && evalSplit !== "";
  return { ...(config && { config }), ...(split && { split }), ...(needsSplit && { needsSplit }) };
}

/** Errors: `invalid_argument` for rows held out of the training data beside data of its own, and for evaluations of nothing. */
export function checkHeldOut(spec: Pick<RunSpec, "dataset" | "evalDataset">, recipe: Recipe): void {
  const { evalFraction } = recipe;
  const refuse = (problem: string): never => {
    throw new GradpoolError("invalid_argument", problem);
  };
  if (evalFraction > 0 && spec.evalDataset.length > 0) {
    refuse(`eval_fraction is ${evalFraction}, but must be left out with eval_dataset`);
  }
  const field = evaluationField(recipe);
  if (field && !dataOf(spec, recipe).heldOut) {
    refuse(`${field} needs eval_dataset, eval_split or eval_fraction: the held-out data`);
  }
}
