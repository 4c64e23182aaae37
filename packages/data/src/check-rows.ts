/** A look at the first rows of each file, so that most of what cannot be used, or teaches nothing, shows before training. */
import type { Dataset } from "./dataset.js";
import type { DatasetPlace } from "./dataset-rows.js";
import { encodedRows, type EncodedRow } from "./encoded-rows.js";
import { MAX_CHECK_MS, MAX_CHECKED_FILE_ROWS, MAX_CHECKED_ROWS } from "./limits.js";
import { chatOptions, packingOf, readOptions, type DataRecipe, type Encoder } from "./recipe.js";
import type { RowContent } from "./row-content.js";
import { packedEnds } from "./best-fit.js";
import { cut, cutOptions, type RowTokens } from "./sequences.js";

/** What was found in the rows that were looked at. */
export interface RowsCheck {
  rows: number;
  /** As in MicroBatch. */
  rowsCut: number;
  rowsWithoutEos: number;
  rowsWithoutTarget: number;
}

/**
 * Renders and encodes the first rows of each file as training does: at most MAX_CHECKED_FILE_ROWS of each, MAX_CHECKED_ROWS
 * of all, for MAX_CHECK_MS. `until`: only those before that place. Errors: as microBatches, naming file and row.
 */
export async function checkRows(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder,
  until: DatasetPlace | undefined,
  signal: AbortSignal,
): Promise<RowsCheck> {
  const fairShare = Math.max(1, Math.floor(MAX_CHECKED_ROWS / dataset.files.length));
  const first = dataset.firstRows(Math.min(MAX_CHECKED_FILE_ROWS, fairShare), until, readOptions(recipe, signal));
  const found: RowsCheck = { rows: 0, rowsCut: 0, rowsWithoutEos: 0, rowsWithoutTarget: 0 };
  // Wrapped rows are not cut.
  const isWrapped = packingOf(recipe) === "wrapped";
  const cutting = packingOf(recipe) === "bfd" ? packedEnds(encoder) : encoder;
  const options = isWrapped ? { maxTokens: 0, ...chatOptions(recipe) } : cutOptions(recipe, cutting);
  for await (const encoded of encodedRows(bounded(first), encoder, options, signal)) {
    const { isCut, lostEos, hasTarget } = isWrapped ? packed(encoded) : single(cut(encoded, recipe, cutting));
    found.rows += 1;
    if (isCut) found.rowsCut += 1;
    if (lostEos) found.rowsWithoutEos += 1;
    if (!hasTarget) found.rowsWithoutTarget += 1;
  }
  return found;
}

async function* bounded<T>(rows: AsyncIterable<T>): AsyncGenerator<T> {
  const endMs = performance.now() + MAX_CHECK_MS;
  let count = 0;
  for await (const row of rows) {
    yield row;
    if (++count === MAX_CHECKED_ROWS || performance.now() > endMs) return;
  }
}

/** A sequence's first token is not a target. */
function single({ tokens, counted, isCut, lostEos }: RowTokens) {
  return { isCut, lostEos, hasTarget: counted ? counted.indexOf(1, 1) > 0 : tokens.length > 1 };
}

/** Of a text, the token that splits it from the next counts. */
function packed({ counted }: EncodedRow<{ content: RowContent }>) {
  return { isCut: false, lostEos: false, hasTarget: counted?.includes(1) ?? true };
}
