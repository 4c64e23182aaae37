/** Counts of rows: of micro-batches, of what was looked at before training, and the refusal of data that teaches nothing. */
import { GradpoolError } from "@gradpool/errors";
import { count, rowLines, rowsText } from "@gradpool/format";
import type { CheckedRecipe } from "@gradpool/recipe";
import { RowCounts, type DescribeDatasetResponse, type MicroBatch, type TokenizerInfo } from "@gradpool/rpc";

export const NO_ROWS: Readonly<RowCounts> = RowCounts.create();

/** Where a micro-batch's rows hold several documents, these are the rows of the data. */
export function countsOf({ documentLengths, ...microBatch }: MicroBatch): RowCounts {
  const { rowsCut, rowsWithoutEos, rowsWithoutTarget } = microBatch;
  const rows = documentLengths.length || microBatch.rows;
  return { rows, rowsCut, rowsWithoutEos, rowsWithoutTarget, stepsWithoutTarget: 0 };
}

export function addCounts(one: RowCounts, other: RowCounts): RowCounts {
  return {
    rows: one.rows + other.rows,
    rowsCut: one.rowsCut + other.rowsCut,
    rowsWithoutEos: one.rowsWithoutEos + other.rowsWithoutEos,
    rowsWithoutTarget: one.rowsWithoutTarget + other.rowsWithoutTarget,
    stepsWithoutTarget: one.stepsWithoutTarget + other.stepsWithoutTarget,
  };
}

/** What a person should know of the rows that were looked at. `isWhole`: there are no more than were counted. */
export function checkNotes(
  { checked, rows, files }: DescribeDatasetResponse,
  { maxLength }: CheckedRecipe,
  isWhole: boolean,
): string[] {
  if (!checked) return [];
  const some = files === 1 ? `first ${count(checked.rows)} rows` : `${count(checked.rows)} rows that begin its files`;
  const of = isWhole && checked.rows === rows ? `of ${rowsText(rows, { packing: false })}` : `of the ${some}`;
  return rowLines(checked, maxLength, of, false);
}

/** All rows were looked at, and none has a target. */
export const lacksTargets = ({ checked, rows }: DescribeDatasetResponse): boolean =>
  checked !== undefined && checked.rowsWithoutTarget === rows;

/** The refusal of data without any target. `name`: of the data set; empty: what is trained on. */
export function noTarget(
  { rows, rowsCut }: RowCounts,
  recipe: CheckedRecipe,
  { truncationSide }: Pick<TokenizerInfo, "truncationSide">,
  name = "",
): GradpoolError {
  const { maxLength, messagesColumn, completionColumn, trainOn } = recipe;
  const none = rows === 1 ? `the only row has no target` : `none of the ${rowsText(rows, recipe)} has a target`;
  const problem = (what: string) =>
    new GradpoolError("failed_precondition", name ? `${name} has no tokens to predict: ${what}` : what);
  if (rowsCut > 0) {
    const side =
      truncationSide === "left" ? "" : `, or set "truncation_side": "left" in the model's tokenizer_config.json`;
    const turns = messagesColumn && trainOn === "last" ? ", or set --train_on all" : "";
    const why = truncationSide === "left" ? "what counts in the loss is cut off" : "the prompts are longer";
    return problem(`${none} within --max_length ${maxLength}: ${why}; raise --max_length${side}${turns}`);
  }
  if (messagesColumn) {
    const advice = "give chats in which the assistant answers, or check --messages_column and the messages' roles";
    return problem(`${none}: no chat has an answer of the assistant; ${advice}`);
  }
  if (completionColumn) return problem(`${none}: the completions are empty; check --completion_column`);
  const advice = recipe.appendEos ? "give texts of a word or more" : "give longer texts, or set --append_eos";
  return problem(`${none}: a row needs at least two tokens; ${advice}`);
}
