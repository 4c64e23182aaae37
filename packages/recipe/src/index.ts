export { boundText, checkedRecipe, type Checked, type CheckedRecipe } from "./check.js";
export { recipeOfDataset, datasetFields } from "./dataset-spec.js";
export type { Bound, FieldKind, FieldValue, Reader } from "./field.js";
export { DTYPES, LR_SCHEDULERS, MAX_LORA_RANK, MAX_MICRO_BATCH_TOKENS, MAX_SHUFFLE_ROWS } from "./fields.js";
export { snakeCase } from "./names.js";
export {
  defaultRecipe,
  fieldNamed,
  heldOut,
  recipeDifferences,
  recipeFrom,
  recipeJson,
  recipeValues,
  RECIPE_FIELDS,
  valuesOfJson,
  type RecipeField,
} from "./recipe.js";
export { checkHeldOut, dataOf, splitOf, type DataUse, type SplitSelection } from "./held-out.js";
export { checkReportTo, MLFLOW } from "./report-to.js";
export { checkRunNames } from "./run-names.js";
export { checkPositions, evaluationField } from "./rules.js";
export { DRY_RUN_ROWS, DRY_RUN_STEPS, NEW_START } from "./run.js";
