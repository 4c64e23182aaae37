import type { Dataset } from "./dataset.js";
import type { DatasetPlace, DatasetRow, RowRange } from "./dataset-rows.js";
import { SHUFFLE_TEXT_BYTES } from "./limits.js";
import { permutation } from "./random.js";
import { readOptions, rowLimit, type DataRecipe } from "./recipe.js";
import { readContent, writeContent, type RowContent } from "./row-content.js";
import { SpillFile, type Spilled } from "./spill-file.js";

/** A place in an epoch: enough to continue with its next row. */
export interface EpochPlace {
  /** Rows consumed so far. */
  rows: number;
  /** The next row, unshuffled; the next row's shuffle block, shuffled. */
  place: DatasetPlace;
  /** Rows of the shuffle block consumed so far. */
  blockRows: number;
}

/** A row in training order, with the epoch's place before and after it. */
export interface EpochRow extends Pick<DatasetRow, "source" | "line"> {
  content: RowContent;
  bytes: number;
  before: EpochPlace;
  after: EpochPlace;
  /** Bytes of the data set read so far. */
  bytesRead: number;
}

/** The rows of one epoch in training order, from a place on. */
export function epochRows(
  dataset: Dataset,
  recipe: DataRecipe,
  epoch: number,
  from: EpochPlace,
  signal: AbortSignal,
): AsyncGenerator<EpochRow> {
  if (recipe.shuffleBuffer > 1) return shuffledRows(dataset, recipe, epoch, from, signal);
  return orderedRows(dataset, recipe, from, signal);
}

/** The rows that are left of an epoch. */
export function rangeFrom(recipe: DataRecipe, { place, rows }: EpochPlace): RowRange {
  return { from: place, before: rows, count: rowLimit(recipe) - rows, seed: recipe.seed };
}

async function* orderedRows(
  dataset: Dataset,
  recipe: DataRecipe,
  from: EpochPlace,
  signal: AbortSignal,
): AsyncGenerator<EpochRow> {
  let before = from;
  const options = readOptions(recipe, signal);
  for await (const rows of dataset.rows(rangeFrom(recipe, from), options)) {
    for (const { content, bytes, source, line, after: place, bytesRead } of rows) {
      const after = { rows: before.rows + 1, place, blockRows: 0 };
      yield { content, bytes, source, line, before, after, bytesRead };
      before = after;
    }
  }
}

/** A row of a shuffle block; its content is in the spill file when the block does not fit into memory. */
type BlockRow = Omit<DatasetRow, "content"> & { content: RowContent | Spilled };

/**
 * Takes the rows in blocks of `shuffleBuffer` and permutes each by a generator keyed by seed, epoch
 * and block, so that any block can be made again from its first row alone.
 */
async function* shuffledRows(
  dataset: Dataset,
  recipe: DataRecipe,
  epoch: number,
  from: EpochPlace,
  signal: AbortSignal,
): AsyncGenerator<EpochRow> {
  let block: EpochPlace = { rows: from.rows - from.blockRows, place: from.place, blockRows: 0 };
  let consumed = from.blockRows;
  const options = readOptions(recipe, signal);
  const spill = new SpillFile();
  try {
    const pieces = dataset.rows(rangeFrom(recipe, block), options);
    for await (const rows of blocksOf(pieces, recipe.shuffleBuffer, spill)) {
      const { after: place, bytesRead } = rows.at(-1)!;
      const order = permutation(rows.length, [recipe.seed, epoch, Math.floor(block.rows / recipe.shuffleBuffer)]);
      const next = { rows: block.rows + rows.length, place, blockRows: 0 };
      for (; consumed < rows.length; consumed++) {
        const { content, bytes, source, line } = rows[order[consumed]!]!;
        const before = { ...block, rows: block.rows + consumed, blockRows: consumed };
        const done = consumed + 1;
        const after = done === rows.length ? next : { ...block, rows: block.rows + done, blockRows: done };
        const whole = "offset" in content ? await unspilled(spill, content) : content;
        yield { content: whole, bytes, source, line, before, after, bytesRead };
      }
      block = next;
      consumed = 0;
      spill.clear();
    }
  } finally {
    await spill[Symbol.asyncDispose]();
  }
}

/** `size` rows at a time, the last block smaller. */
async function* blocksOf(
  pieces: AsyncIterable<DatasetRow[]>,
  size: number,
  spill: SpillFile,
): AsyncGenerator<BlockRow[]> {
  let block: BlockRow[] = [];
  let bytes = 0;
  for await (const rows of pieces) {
    for (const row of rows) {
      bytes += row.bytes;
      const fits = bytes <= SHUFFLE_TEXT_BYTES;
      block.push(fits ? row : { ...row, content: await spill.write(Buffer.from(writeContent(row.content))) });
      if (block.length < size) continue;
      yield block;
      block = [];
      bytes = 0;
    }
  }
  if (block.length > 0) yield block;
}

async function unspilled(spill: SpillFile, place: Spilled): Promise<RowContent> {
  return readContent((await spill.read(place)).toString("utf8"));
}
