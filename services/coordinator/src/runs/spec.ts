/** Checks submitted specs, and those that an earlier version of the coordinator recorded. */
import { GradpoolError } from "@gradpool/errors";
import { checkedRecipe, checkHeldOut, checkRunNames, type CheckedRecipe } from "@gradpool/recipe";
import type { RunSpec } from "@gradpool/rpc";

/** The recipe of a spec that is valid as a whole. Errors: `invalid_argument`. */
export function specRecipe({ modelId, dataset, evalDataset, outputDir, recipe, ...others }: RunSpec): CheckedRecipe {
  const missing = (field: string) => new GradpoolError("invalid_argument", `${field} is missing`);
  if (!modelId) throw missing("model_id");
  if (dataset.length === 0) throw missing("dataset");
  if (!outputDir) throw missing("output_dir");
  if ((others.resumeIfExists || others.resumeWeightsOnly) && !others.resumeFrom) {
    const flag = others.resumeIfExists ? "resume_if_exists" : "resume_weights_only";
    throw new GradpoolError("invalid_argument", `${flag} needs resume_from: a checkpoint folder, or "latest"`);
  }
  checkRunNames(others);
  const checked = checkedRecipe(recipe);
  checkHeldOut({ dataset, evalDataset }, checked);
  return checked;
}
