/** Recipes from the values of flags. */
import { GradpoolError } from "@gradpool/errors";
import { checkedRecipe, recipeFrom, type CheckedRecipe } from "@gradpool/recipe";
import { UsageError } from "./usage-error.js";

/** The recipe that flags ask for, by their names, and defaults. Errors: UsageError. */
export function checkedRecipeFrom(values: Readonly<Record<string, unknown>>): CheckedRecipe {
  return usable(() => checkedRecipe(recipeFrom(values)));
}

/** What a check of flags refuses is a wrong use of them. */
export function usable<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new UsageError(GradpoolError.from(error).message);
  }
}
