import { DATASET_START, type Dataset, type DatasetPlace, type DatasetRow } from "./dataset.js";
import { SHUFFLE_TEXT_BYTES } from "./limits.js";
import { permutation } from "./random.js";
import { OpenFile } from "./readers/reader.js";
import { rowLimit, type DataRecipe } from "./recipe.js";

/** Where an epoch stands: enough to go on with its next row. */
export interface EpochPlace {
  /** Rows consumed so far. */
  rows: number;
  /** The next row, unshuffled; the next row's shuffle block, shuffled. */
  place: DatasetPlace;
  /** Rows of the shuffle block consumed so far. */
  blockRows: number;
}

/** A text in training order, with the epoch's place before and after it. */
export interface EpochRow {
  text: string;
  bytes: number;
  before: EpochPlace;
  after: EpochPlace;
}

export const EPOCH_START: EpochPlace = { rows: 0, place: DATASET_START, blockRows: 0 };

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

async function* orderedRows(
  dataset: Dataset,
  recipe: DataRecipe,
  from: EpochPlace,
  signal: AbortSignal,
): AsyncGenerator<EpochRow> {
  let before = from;
  const options = { textColumn: recipe.textColumn, signal };
  for await (const rows of dataset.rows(from.place, rowLimit(recipe) - from.rows, options)) {
    for (const row of rows) {
      const after = { rows: before.rows + 1, place: placeOf(row, row.end), blockRows: 0 };
      yield { text: row.text, bytes: bytesOf(row), before, after };
      before = after;
    }
  }
}

/** A row of a shuffle block; without its text where the block's texts would not fit into memory. */
type BlockRow = Omit<DatasetRow, "text"> & { text: string | undefined };

/**
 * Takes the rows in blocks of `shuffleBuffer` and permutes each by a generator keyed by seed, epoch
 * and block, so that any block can be had again from its first row alone.
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
  const options = { textColumn: recipe.textColumn, signal };
  const blocks = blocksOf(dataset.rows(block.place, rowLimit(recipe) - block.rows, options), recipe.shuffleBuffer);
  const reread = new RowReReader(dataset, recipe.textColumn, signal);
  try {
    for await (const rows of blocks) {
      const last = rows.at(-1)!;
      const order = permutation(rows.length, [recipe.seed, epoch, Math.floor(block.rows / recipe.shuffleBuffer)]);
      const next = { rows: block.rows + rows.length, place: placeOf(last, last.end), blockRows: 0 };
      for (; consumed < rows.length; consumed++) {
        const row = rows[order[consumed]!]!;
        const before = { ...block, rows: block.rows + consumed, blockRows: consumed };
        const done = consumed + 1;
        const after = done === rows.length ? next : { ...block, rows: block.rows + done, blockRows: done };
        yield { text: row.text ?? (await reread.text(row)), bytes: bytesOf(row), before, after };
      }
      block = next;
      consumed = 0;
    }
  } finally {
    await reread[Symbol.asyncDispose]();
  }
}

/** `size` rows at a time, the last block smaller. */
async function* blocksOf(pieces: AsyncIterable<DatasetRow[]>, size: number): AsyncGenerator<BlockRow[]> {
  let block: BlockRow[] = [];
  let textBytes = 0;
  for await (const rows of pieces) {
    for (const row of rows) {
      textBytes += bytesOf(row);
      block.push(textBytes <= SHUFFLE_TEXT_BYTES ? row : { ...row, text: undefined });
      if (block.length < size) continue;
      yield block;
      block = [];
      textBytes = 0;
    }
  }
  if (block.length > 0) yield block;
}

/** Reads single rows again, in any order; keeps the file of the last one open. */
class RowReReader implements AsyncDisposable {
  readonly #dataset: Dataset;
  readonly #textColumn: string;
  readonly #signal: AbortSignal;
  #opened: { index: number; file: OpenFile } | undefined;

  constructor(dataset: Dataset, textColumn: string, signal: AbortSignal) {
    this.#dataset = dataset;
    this.#textColumn = textColumn;
    this.#signal = signal;
  }

  async text(row: BlockRow): Promise<string> {
    if (this.#opened?.index !== row.file) {
      await this[Symbol.asyncDispose]();
      this.#opened = { index: row.file, file: await OpenFile.open(this.#dataset.files[row.file]!) };
    }
    const { file } = this.#opened!;
    const options = { textColumn: this.#textColumn, until: row.end.byteOffset, signal: this.#signal };
    for await (const [found] of file.source.reader.rows(file, row.start, options)) {
      if (found) return found.text;
    }
    throw new Error(`the row at byte ${row.start.byteOffset} of ${file.source.name} is gone`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.file[Symbol.asyncDispose]();
  }
}

function placeOf(row: { file: number }, { byteOffset, line }: { byteOffset: number; line: number }): DatasetPlace {
  return { file: row.file, byteOffset, line };
}

function bytesOf(row: { start: { byteOffset: number }; end: { byteOffset: number } }): number {
  return row.end.byteOffset - row.start.byteOffset;
}
