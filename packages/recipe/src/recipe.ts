/** Recipes as messages, under the names of their fields, and as JSON in files: all derived from the table. */
import { GradpoolError } from "@gradpool/errors";
import type { Recipe } from "@gradpool/rpc";
import type { FieldValue, Row } from "./field.js";
import { ROWS } from "./fields.js";
import { camelCase, snakeCase } from "./names.js";

export interface RecipeField extends Row {
  /** As flags, files and metrics.json spell it. */
  name: string;
  /** Its key in the message that holds it. */
  key: string;
  /** That message is Recipe.lora. */
  ofLora: boolean;
}

/** In display order. */
export const RECIPE_FIELDS: readonly RecipeField[] = Object.entries(ROWS).map(([name, row]: [string, Row]) => {
  const lora = (row as { lora?: string }).lora;
  return { ...row, name, key: lora ?? camelCase(name), ofLora: lora !== undefined };
});

const BY_NAME = new Map(RECIPE_FIELDS.map((field) => [field.name, field]));

/** Undefined when it is not a field of the recipe. */
export const fieldNamed = (name: string): RecipeField | undefined => BY_NAME.get(name);

type Fields = Record<string, FieldValue>;

/** The message that holds a field. */
function holderOf(recipe: Recipe, { ofLora }: RecipeField): Fields {
  if (!ofLora) return recipe as unknown as Fields;
  if (!recipe.lora) throw new Error("a recipe without its lora part");
  return recipe.lora as unknown as Fields;
}

export function valueOf(recipe: Recipe, field: RecipeField): FieldValue {
  return holderOf(recipe, field)[field.key] as FieldValue;
}

/**
 * A recipe with the given values, by name, and the defaults. Errors: `invalid_argument` where a word for one field stands
 * against that field's own value.
 */
export function recipeFrom(given: Readonly<Record<string, unknown>>): Recipe {
  const values = withWords(given);
  const recipe: Fields = {};
  const lora: Fields = {};
  for (const field of RECIPE_FIELDS) {
    const value = (values[field.name] ?? structuredClone(field.default)) as FieldValue;
    (field.ofLora ? lora : recipe)[field.key] = value;
  }
  return { ...recipe, lora } as unknown as Recipe;
}

/** `packing: "bfd"` is packing with packing_strategy "bfd". */
function withWords(given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const values = { ...given };
  for (const { name, wordsOf } of RECIPE_FIELDS) {
    const word = given[name];
    if (wordsOf === undefined || typeof word !== "string") continue;
    const other = given[wordsOf] ?? word;
    if (other !== word) {
      const problem = `${name} is ${word}, but ${wordsOf} is ${String(other)}; give one of them`;
      throw new GradpoolError("invalid_argument", problem);
    }
    Object.assign(values, { [name]: true, [wordsOf]: word });
  }
  return values;
}

/** The recipe of a run that asks for nothing else. */
export const defaultRecipe = (): Recipe => recipeFrom({});

/** A copy with some fields' values replaced, where `replace` gives one. */
export function withValues<R extends Recipe>(
  recipe: R,
  replace: (field: RecipeField, value: FieldValue) => FieldValue | undefined,
): R {
  const copy = { ...recipe, lora: recipe.lora && { ...recipe.lora } };
  for (const field of RECIPE_FIELDS) {
    const value = replace(field, valueOf(copy, field));
    if (value !== undefined) holderOf(copy, field)[field.key] = value;
  }
  return copy;
}

/** A recipe's values by the fields' names. */
export function recipeValues(recipe: Recipe): Record<string, FieldValue> {
  return Object.fromEntries(RECIPE_FIELDS.map((field) => [field.name, valueOf(recipe, field)]));
}

/** As checkpoints and metrics.json hold it: nested as the message is, under the contract's names. */
export function recipeJson(recipe: Recipe): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  const lora: Record<string, unknown> = {};
  for (const field of RECIPE_FIELDS) {
    if (!field.ofLora) json[field.name] = valueOf(recipe, field);
    else {
      json["lora"] = lora;
      lora[nameInLora(field)] = valueOf(recipe, field);
    }
  }
  return json;
}

/** From such JSON to values by the fields' names. Names that this version does not know stay as they are. */
export function valuesOfJson({ lora, ...json }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = new Map(RECIPE_FIELDS.filter(({ ofLora }) => ofLora).map((field) => [nameInLora(field), field.name]));
  const ofLora = Object.entries((lora ?? {}) as object).map(([name, value]) => [
    names.get(name) ?? name,
    value as unknown,
  ]);
  return { ...json, ...(Object.fromEntries(ofLora) as Record<string, unknown>) };
}

const nameInLora = ({ key }: RecipeField) => snakeCase(key);

/** What a field is where a message does not have it. */
export function unsetValue({ kind, unset }: Row): FieldValue {
  if (unset !== undefined) return unset;
  const zeros = { integer: 0, number: 0, boolean: false, text: "", list: [], numbers: [], patterns: {} };
  return zeros[kind];
}

/**
 * Fields that decide the result and are not the same in `theirs`, JSON as recipeJson writes it. One that was written by a
 * version that did not know a field had what that version did.
 */
export function recipeDifferences(
  theirs: Readonly<Record<string, unknown>>,
  recipe: Recipe,
): { name: string; there: unknown; here: unknown }[] {
  const unset = Object.fromEntries(RECIPE_FIELDS.map((field) => [field.name, unsetValue(field)]));
  const there: Record<string, unknown> = { ...unset, ...valuesOfJson(theirs) };
  const here: Record<string, unknown> = recipeValues(recipe);
  return Object.keys({ ...there, ...here })
    .filter((name) => !fieldNamed(name)?.sameBits && JSON.stringify(there[name]) !== JSON.stringify(here[name]))
    .map((name) => ({ name, there: there[name], here: here[name] }));
}

/** How held-out data is read: as a whole, in its order; or of the training data's rows, those that are held out. */
export function heldOut<R extends Recipe>(recipe: R): R {
  // The weights are of the training data's sources.
  const whole = withValues(recipe, (field) => (field.forTraining ? unsetValue(field) : undefined));
  return { ...whole, datasetWeights: [], evalFraction: recipe.evalFraction };
}
