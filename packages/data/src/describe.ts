import { packedRows } from "./best-fit.js";
import type { Dataset } from "./dataset.js";
import type { DatasetPlace } from "./dataset-rows.js";
import { encodedRows } from "./encoded-rows.js";
import { epochRows, rangeFrom, type EpochPlace, type EpochRow } from "./epoch-rows.js";
import { noRows, noTokens } from "./micro-batches.js";
import { chatOptions, columnsOf, packingOf, readOptions, rowLimit, type DataRecipe, type Encoder } from "./recipe.js";
import { packedLength } from "./sequences.js";

/** What is counted of a data set. */
export interface DatasetCount {
  rows: number;
  /** With wrapped packing: tokens, one between rows included; else 0. */
  tokens: number;
  /** With packing by best fit: blocks; else 0. */
  blocks: number;
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
  let count: DatasetCount = { rows: 0, tokens: 0, blocks: 0, bytesRead: 0, end: dataset.start };
  for await (count of counts(dataset, recipe, encoder, signal)) {
    yield count;
  }
  if (count.rows === 0) throw noRows(recipe);
  if (encoder && packingOf(recipe) === "bfd" && count.blocks === 0) throw noTokens();
}

function counts(dataset: Dataset, recipe: DataRecipe, encoder: Encoder | undefined, signal: AbortSignal) {
  if (!encoder) return countRows(dataset, recipe, signal);
  const rows = epochRows(dataset, { ...recipe, shuffleBuffer: 0 }, 0, startOf(dataset), signal);
  const count = packingOf(recipe) === "bfd" ? countBlocks : countTokens;
  return count(rows, recipe, encoder, signal);
}

/** Whether an epoch may lack some of the data set's rows. */
export function rowsAreLimited(dataset: Dataset, recipe: DataRecipe): boolean {
  return dataset.isMixed || Number.isFinite(rowLimit(recipe));
}

/** Micro-batches of one epoch of the data that was counted. */
export function microBatchesPerEpoch(
  { rows, tokens, blocks }: Pick<DatasetCount, "rows" | "tokens" | "blocks">,
  recipe: DataRecipe,
) {
  const sequences = { none: rows, wrapped: Math.ceil(tokens / recipe.maxLength), bfd: blocks };
  return Math.ceil(sequences[packingOf(recipe)] / recipe.batchSize);
}

async function* countRows(dataset: Dataset, recipe: DataRecipe, signal: AbortSignal): AsyncGenerator<DatasetCount> {
  let count = 0;
  const range = rangeFrom(recipe, startOf(dataset));
  for await (const rows of dataset.rows(range, readOptions(recipe, signal))) {
    count += rows.length;
    const { bytesRead, after: end } = rows.at(-1)!;
    yield { rows: count, tokens: 0, blocks: 0, bytesRead, end };
  }
}

async function* countTokens(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<DatasetCount> {
  let [count, tokenCount] = [0, 0];
  for await (const { row, tokens } of encodedRows(rows, encoder, { maxTokens: 0, ...chatOptions(recipe) }, signal)) {
    count++;
    tokenCount += packedLength(tokens, encoder.eosId);
    yield { rows: count, tokens: tokenCount, blocks: 0, bytesRead: row.bytesRead, end: row.after.place };
  }
}

async function* countBlocks(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<DatasetCount> {
  let [count, blockCount] = [0, 0];
  for await (const { blocks, rows: more, after, bytesRead } of packedRows(rows, recipe, encoder, signal)) {
    count += more;
    blockCount += blocks.length;
    yield { rows: count, tokens: 0, blocks: blockCount, bytesRead, end: after.place };
  }
}

/** Increased when the same files would give another count than before. */
const COUNT_VERSION = 4;

/**
 * What a count depends on, as text: the files as they are, the columns, with packing the tokenizer (`encoderKey`), and
 * how whole rows are packed, and which rows are held out. Two recipes with the same key have the same count.
 */
export function countKey(dataset: Dataset, recipe: DataRecipe, encoderKey: string): string {
  const limit = rowLimit(recipe);
  const rows = Number.isFinite(limit) ? limit : 0;
  const draws = dataset.isMixed ? recipe.seed : 0;
  const { maxLength, appendEos, evalFraction, heldOut = false } = recipe;
  const packing = packingOf(recipe) === "bfd" ? [maxLength, appendEos] : [];
  const held = evalFraction > 0 ? [evalFraction, heldOut] : [];
  return JSON.stringify([COUNT_VERSION, dataset.hash, columnsOf(recipe), rows, draws, encoderKey, packing, held]);
}

function startOf(dataset: Dataset): EpochPlace {
  return { rows: 0, place: dataset.start, blockRows: 0 };
}
