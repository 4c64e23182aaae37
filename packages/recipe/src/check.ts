/** The one check of a recipe, where untrusted input enters, and the type that says that it was made. */
import { GradpoolError } from "@gradpool/errors";
import type { LoraRecipe, Recipe } from "@gradpool/rpc";
import type { Bound, FieldValue } from "./field.js";
import { unsetValue, valueOf, withValues, RECIPE_FIELDS, type RecipeField } from "./recipe.js";
import { checkRules } from "./rules.js";

declare const CHECKED: unique symbol;

/** Only `checkedRecipe` gives one: code that takes it need not check it. */
export type Checked<T> = T & { readonly [CHECKED]: true };

export type CheckedRecipe = Checked<Recipe & { lora: LoraRecipe }>;

/**
 * The recipe, within the table's bounds and by its rules; fields that a client does not know get their default meaning.
 * Errors: `invalid_argument`, one line naming field and bound.
 */
export function checkedRecipe(recipe: Recipe | undefined): CheckedRecipe {
  if (!recipe) throw new GradpoolError("invalid_argument", "recipe is missing");
  if (!recipe.lora) throw new GradpoolError("invalid_argument", "recipe.lora is missing; set all its fields");
  const filled = withValues(recipe, (field, value) => (field.unset && value === "" ? unsetValue(field) : undefined));
  for (const field of RECIPE_FIELDS) checkField(field, valueOf(filled, field));
  checkRules(filled);
  return filled as CheckedRecipe;
}

function checkField({ name, kind, each, bound = {}, words, needed }: RecipeField, value: FieldValue): void {
  if (typeof value === "number") return checkNumber(name, value, kind === "integer", bound);
  const isEmpty = typeof value !== "boolean" && (typeof value === "string" ? value : Object.keys(value)).length === 0;
  if (needed && isEmpty) throw wrong(name, value, needed);
  if (words && !words.includes(value as string)) throw wrong(name, value, `one of ${words.join(", ")}`);
  if (kind === "numbers") for (const one of value as number[]) checkNumber(name, one, false, bound);
  if (kind !== "patterns") return;
  for (const [pattern, one] of Object.entries(value)) {
    checkNumber(`${name} of ${pattern}`, one as number, each === "integer", bound);
  }
}

function checkNumber(name: string, value: number, isWhole: boolean, bound: Bound): void {
  const { least = -Infinity, above = -Infinity, most = Infinity, below = Infinity } = bound;
  // A value that is too large is answered with the upper bound.
  if (isWhole && Number.isFinite(value) && value > most) throw wrong(name, value, `at most ${most}`);
  const isNumber = isWhole ? Number.isSafeInteger(value) : Number.isFinite(value);
  if (isNumber && value >= least && value > above && value <= most && value < below) return;
  throw wrong(name, value, isWhole ? wholeText(least) : boundText(bound));
}

const wholeText = (least: number) => (least < 0 ? "a whole number" : `a whole number of at least ${least}`);

/** In words that follow "must be". */
export function boundText({ least, above, most, below }: Bound): string {
  if (least !== undefined && most !== undefined) return `from ${least} to ${most}`;
  const low = least !== undefined ? `at least ${least}` : above !== undefined ? `greater than ${above}` : undefined;
  const high = most !== undefined ? `at most ${most}` : below !== undefined ? `below ${below}` : undefined;
  return [low, high].filter((text) => text !== undefined).join(" and ") || "a number";
}

function wrong(name: string, value: unknown, bound: string): GradpoolError {
  const shown = value === "" ? '""' : typeof value === "object" ? "empty" : String(value);
  return new GradpoolError("invalid_argument", `${name} is ${shown}, but must be ${bound}`);
}
