/** Checks submitted specs, and those that an earlier version of the coordinator recorded. */
import { isAbsolute } from "node:path";
import { checkInRoots, type Roots } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { checkedRecipe, checkHeldOut, checkReportTo, checkRunNames, type CheckedRecipe } from "@gradpool/recipe";
import type { RunSpec } from "@gradpool/rpc";
import { OBJECT_STORE_SCHEME } from "@gradpool/service-kit";

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
  checkReportTo(others);
  const checked = checkedRecipe(recipe);
  checkHeldOut({ dataset, evalDataset }, checked);
  return checked;
}

/**
 * Refuses a run at once for what it names; what opens a file checks again, since a glob or a link may lead elsewhere. Errors:
 * those of checkInRoots.
 */
export async function checkPlaces(spec: RunSpec, roots: Roots): Promise<void> {
  const { modelId, dataset, evalDataset, outputDir, resumeFrom, recipe } = spec;
  const named: [what: string, place: string][] = [
    ["model_id:", modelId],
    ...dataset.map((source): [string, string] => ["dataset:", source]),
    ...evalDataset.map((source): [string, string] => ["eval_dataset:", source]),
    ["init_adapter:", recipe?.lora?.initAdapter ?? ""],
    ["resume_from:", resumeFrom],
    ["output_dir", outputDir],
  ];
  for (const [what, place] of named) {
    // Others are names of the hub, or words such as latest.
    if (isAbsolute(place) || place.startsWith(OBJECT_STORE_SCHEME)) await checkInRoots(place, roots, what);
  }
}
