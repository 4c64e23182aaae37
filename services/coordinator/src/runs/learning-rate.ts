import { learningRate, warmupStepsOf } from "@gradpool/optim";
import type { CheckedRecipe } from "@gradpool/recipe";

/** Learning rate of optimizer step `step`, from 0, of a run that makes `totalSteps`. */
export function rateAt(recipe: CheckedRecipe, step: number, totalSteps: number): number {
  const { learningRate: base, numCycles, power, lrEnd } = recipe;
  const schedule = { base, warmupSteps: warmupStepsOf(recipe, totalSteps), totalSteps, numCycles, power, lrEnd };
  return learningRate(recipe.lrScheduler, step, schedule);
}
