import type { Dataset } from "./dataset.js";
import { encodedRows } from "./encoded-rows.js";
import { epochRows, rangeFrom, type EpochPlace } from "./epoch-rows.js";
import { noRows } from "./micro-batches.js";
import { checkDataRecipe, columnsOf, type DataRecipe, type Encoder } from "./recipe.js";

/** What is known of a data set so far. */
export interface DatasetSize {
  rows: number;
  /** Micro-batches of one epoch. */
  microBatchesPerEpoch: number;
  bytesRead: number;
}

/**
 * Counts a data set's rows and micro-batches, checking every row on the way; the last value is final.
 * Only packing needs the encoder. Errors: as microBatches.
 */
export async function* describeDataset(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder | undefined,
  signal: AbortSignal,
): AsyncGenerator<DatasetSize> {
  checkDataRecipe(recipe);
  let size: DatasetSize = { rows: 0, microBatchesPerEpoch: 0, bytesRead: 0 };
  for await (size of encoder ? countBlocks(dataset, recipe, encoder, signal) : countRows(dataset, recipe, signal)) {
    yield size;
  }
  if (size.rows === 0) throw noRows();
}

async function* countRows(dataset: Dataset, recipe: DataRecipe, signal: AbortSignal): AsyncGenerator<DatasetSize> {
  let count = 0;
  const range = rangeFrom(recipe, startOf(dataset));
  for await (const rows of dataset.rows(range, { columns: columnsOf(recipe), signal })) {
    count += rows.length;
    const { bytesRead } = rows.at(-1)!;
    yield { rows: count, microBatchesPerEpoch: Math.ceil(count / recipe.batchSize), bytesRead };
  }
}

async function* countBlocks(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<DatasetSize> {
  let count = 0;
  let tokenCount = 0;
  const rows = epochRows(dataset, { ...recipe, shuffleBuffer: 0 }, 0, startOf(dataset), signal);
  for await (const { row, tokens } of encodedRows(rows, encoder, 0, signal)) {
    count++;
    tokenCount += tokens.length + 1;
    const blocks = Math.ceil(tokenCount / recipe.maxLength);
    yield { rows: count, microBatchesPerEpoch: Math.ceil(blocks / recipe.batchSize), bytesRead: row.bytesRead };
  }
}

function startOf(dataset: Dataset): EpochPlace {
  return { rows: 0, place: dataset.start, blockRows: 0 };
}
