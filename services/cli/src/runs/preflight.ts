import { stat } from "node:fs/promises";
import { adaptedModules, ownScalings } from "@gradpool/adapter";
import { count } from "@gradpool/format";
import { downloadText, type ModelPlaces, type OpenOptions } from "@gradpool/hub";
import { openModel } from "@gradpool/model-source";
import { namedTargets, selectTargets } from "@gradpool/models";
import { GradpoolError } from "@gradpool/errors";
import { checkPositions, dataOf } from "@gradpool/recipe";
import type { Recipe, RunSpec } from "@gradpool/rpc";
import { openDataset } from "./open-dataset.js";
import { LATEST } from "./run-spec.js";

/**
 * What can be refused within milliseconds is refused before any service starts: a missing model, data
 * files that are not there, targets that match nothing, no checkpoint. A model of the hub is downloaded here, where
 * `report` can be seen. Gives a line about the model.
 */
export async function preflight(
  spec: RunSpec & { recipe: Recipe },
  models: ModelPlaces,
  report: (doing: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const { recipe } = spec;
  const onProgress: OpenOptions["onProgress"] = (progress) => report(downloadText("the model", progress));
  const { description } = (await openModel(spec.modelId, models, { onProgress, signal })).model;
  const { lora } = recipe;
  if (lora)
    ownScalings(adaptedModules(selectTargets(description, namedTargets(description, lora.targetModules)), lora), lora);
  checkPositions(recipe, description.maxPositions);
  const { training, heldOut } = dataOf(spec, recipe);
  await openDataset(training, models.hub, signal);
  if (heldOut) await openDataset(heldOut, models.hub, signal);
  await checkResumeFrom(spec);
  return `${description.modelType}, ${count(description.parameters)} parameters`;
}

async function checkResumeFrom({ resumeFrom, resumeIfExists }: RunSpec): Promise<void> {
  if (resumeIfExists || resumeFrom === "" || resumeFrom === LATEST) return;
  const found = await stat(resumeFrom).catch(() => undefined);
  if (found?.isDirectory()) return;
  const advice = "name a checkpoint folder, or add --resume_if_exists to start from scratch";
  throw new GradpoolError("not_found", `resume_from: ${resumeFrom} is not a folder; ${advice}`);
}
