import type { Dataset, DatasetPlace } from "./dataset.js";
import { encodedRows } from "./encoded-rows.js";
import { epochRows, rangeFrom, type EpochPlace } from "./epoch-rows.js";
import { noRows } from "./micro-batches.js";
import { chatOptions, columnsOf, rowLimit, type DataRecipe, type Encoder } from "./recipe.js";
import { packedLength } from "./sequences.js";

/** What is counted of a data set. */
export interface DatasetCount {
  rows: number;
  /** With packing: tokens, one between rows included; else 0. */
  tokens: number;
  bytesRead: number;
  /** After the last row that was counted. */
  end: DatasetPlace;
}

/**
 * Counts a data set's rows, and for packing its tokens, checking every row on the way; the last value is final.
 * Only packing needs the encoder. Errors: as microBatches.
 */
export async function* describeDataset(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder | undefined,
  signal: AbortSignal,
): AsyncGenerator<DatasetCount> {
  let count: DatasetCount = { rows: 0, tokens: 0, bytesRead: 0, end: dataset.start };
  for await (count of encoder ? countTokens(dataset, recipe, encoder, signal) : countRows(dataset, recipe, signal)) {
    yield count;
  }
  if (count.rows === 0) throw noRows();
}

/** Whether an epoch may lack some of the data set's rows. */
export function rowsAreLimited(dataset: Dataset, recipe: DataRecipe): boolean {
  return dataset.isMixed || Number.isFinite(rowLimit(recipe));
}

/** Micro-batches of one epoch of the data that was counted. */
export function microBatchesPerEpoch(
  { rows, tokens }: Pick<DatasetCount, "rows" | "tokens">,
  { packing, maxLength, batchSize }: DataRecipe,
) {
  return Math.ceil((packing ? Math.ceil(tokens / maxLength) : rows) / batchSize);
}

async function* countRows(dataset: Dataset, recipe: DataRecipe, signal: AbortSignal): AsyncGenerator<DatasetCount> {
  let count = 0;
  const range = rangeFrom(recipe, startOf(dataset));
  for await (const rows of dataset.rows(range, { columns: columnsOf(recipe), signal })) {
    count += rows.length;
    const { bytesRead, after: end } = rows.at(-1)!;
    yield { rows: count, tokens: 0, bytesRead, end };
  }
}

async function* countTokens(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<DatasetCount> {
  let [count, tokenCount] = [0, 0];
  const rows = epochRows(dataset, { ...recipe, shuffleBuffer: 0 }, 0, startOf(dataset), signal);
  for await (const { row, tokens } of encodedRows(rows, encoder, { maxTokens: 0, ...chatOptions(recipe) }, signal)) {
    count++;
    tokenCount += packedLength(tokens, encoder.eosId);
    yield { rows: count, tokens: tokenCount, bytesRead: row.bytesRead, end: row.after.place };
  }
}

/** Increased when the same files would give another count than before. */
const COUNT_VERSION = 3;

/**
 * What a count depends on, as text: the files as they are, the columns, and with packing the tokenizer
 * (`encoderKey`). Two recipes with the same key have the same count.
 */
export function countKey(dataset: Dataset, recipe: DataRecipe, encoderKey: string): string {
  const limit = rowLimit(recipe);
  const rows = Number.isFinite(limit) ? limit : 0;
  const draws = dataset.isMixed ? recipe.seed : 0;
  return JSON.stringify([COUNT_VERSION, dataset.hash, columnsOf(recipe), rows, draws, encoderKey]);
}

function startOf(dataset: Dataset): EpochPlace {
  return { rows: 0, place: dataset.start, blockRows: 0 };
}
