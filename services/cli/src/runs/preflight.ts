import { stat } from "node:fs/promises";
import { ownScalings, withRanks } from "@gradpool/adapter";
import { Dataset } from "@gradpool/data";
import { openModel } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { GradpoolError } from "@gradpool/errors";
import type { Recipe, RunSpec } from "@gradpool/rpc";
import { LATEST } from "./run-spec.js";

/**
 * What can be refused within milliseconds is refused before any service starts: a missing model, data
 * files that are not there, targets that match nothing, no checkpoint. Gives a line about the model.
 */
export async function preflight(spec: RunSpec & { recipe: Recipe }, signal: AbortSignal): Promise<string> {
  const { recipe } = spec;
  const { description } = (await openModel(spec.modelId)).model;
  const { lora } = recipe;
  if (lora) ownScalings(withRanks(selectTargets(description, lora.targetModules), lora), lora);
  if (recipe.maxLength > description.maxPositions) {
    const problem = `max_length ${recipe.maxLength} is beyond the model's ${description.maxPositions} positions`;
    throw new GradpoolError("invalid_argument", `${problem}; lower --max_length`);
  }
  await Dataset.open(spec.dataset, signal);
  await checkResumeFrom(spec);
  return `${description.modelType}, ${description.parameters.toLocaleString("en-US")} parameters`;
}

async function checkResumeFrom({ resumeFrom, resumeIfExists }: RunSpec): Promise<void> {
  if (resumeIfExists || resumeFrom === "" || resumeFrom === LATEST) return;
  const found = await stat(resumeFrom).catch(() => undefined);
  if (found?.isDirectory()) return;
  const advice = "name a checkpoint folder, or add --resume_if_exists for a new start";
  throw new GradpoolError("not_found", `resume_from: ${resumeFrom} is no folder; ${advice}`);
}
