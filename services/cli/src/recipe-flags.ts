/** Recipes from the values of flags. */
import { GradpoolError } from "@gradpool/errors";
import { checkedRecipe, recipeFrom, type CheckedRecipe } from "@gradpool/recipe";
import { UsageError } from "./usage-error.js";

/** The recipe that flags ask for, by their names, and defaults. Errors: UsageError. */
export function checkedRecipeFrom(values: Readonly<Record<string, unknown>>): CheckedRecipe {
  try {
    return checkedRecipe(recipeFrom(values));
  } catch (error) {
    throw new UsageError(GradpoolError.from(error).message);
  }
}
