/**
 * From a data set to micro-batches, over all epochs.
 *
 * - Every row of every epoch (with wrapped packing: every token) is delivered exactly once, in an order that
 *   depends only on data, recipe and seed.
 * - A stream opened with the cursor of any micro-batch gives exactly the micro-batches after it, and
 *   reads at most one shuffle block, one row, or the rows that are packed together, again.
 * - Memory does not grow with the data: see limits.ts.
 */
import { GradpoolError } from "@gradpool/errors";
import { MAX_MICRO_BATCH_TOKENS } from "@gradpool/recipe";
import { bestFitSequences } from "./best-fit.js";
import type { Dataset } from "./dataset.js";
import type { FilePlace } from "./dataset-rows.js";
import { epochRows } from "./epoch-rows.js";
import { packingOf, type DataRecipe, type Encoder } from "./recipe.js";
import { cutSequences, packedSequences, type Sequence, type SequencePlace } from "./sequences.js";

/** A place between two micro-batches; small whatever the data. Its file and offsets are those of the first source. */
export interface Cursor extends FilePlace {
  epoch: number;
  /** Micro-batches delivered so far, over all epochs. */
  microBatches: number;
  /** Rows of this epoch consumed so far. */
  rows: number;
  /** Rows of the shuffle block consumed so far. */
  blockRows: number;
  /** Tokens of the next row that packing has delivered already. */
  rowTokens: number;
  /** Of the blocks that are packed from the next rows together (best-fit.ts), those delivered already. */
  packedBlocks: number;
  /** The same of the other sources of a mixture. */
  otherSources: FilePlace[];
  /** Hash of the data set that it points into. */
  datasetHash: string;
}

/** B rows of up to S tokens, right-padded. */
export interface MicroBatch {
  /** Position in the stream, from 0, over all epochs. */
  index: number;
  epoch: number;
  lastOfEpoch: boolean;
  /** B. */
  rows: number;
  /** S, the longest row's tokens; 1 when all rows are empty. */
  rowLength: number;
  /** [B, S] */
  ids: Int32Array;
  /** [B] */
  lengths: number[];
  /** Tokens that count in the loss: without a mask, Σ over rows of max(0, length - 1). */
  targetTokens: number;
  /** [B, S]: 1 for each token that counts when it is the target, else 0; a row's first is not a target. Empty: all count. */
  targetMask: Uint8Array;
  /** Tokens of each document, row after row, where rows hold several; a document's first token is no target. Empty: each row is one. */
  documentLengths: number[];
  /** Of its rows (of documents, where rows hold several), those that were cut to max_length, that lost their end-of-sequence token by it, and that have no target left. */
  rowsCut: number;
  rowsWithoutEos: number;
  rowsWithoutTarget: number;
  cursorAfter: Cursor;
}

export interface StreamOptions {
  /** Passes over the data. */
  epochs: number;
  /** Continue after the micro-batch that had this cursor. */
  cursor?: Cursor;
  signal: AbortSignal;
}

/**
 * The micro-batches of all epochs, in order. Errors: `invalid_argument` for a row that cannot be used, `failed_precondition` for a data set without rows, a cursor of other data, or a file
 * that changed; and the encoder's own.
 */
export async function* microBatches(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder,
  { epochs, cursor, signal }: StreamOptions,
): AsyncGenerator<MicroBatch> {
  if (epochs < 1) throw new GradpoolError("invalid_argument", `epochs is ${epochs}, but must be at least 1`);
  if (cursor && cursor.datasetHash !== dataset.hash) {
    const advice = "continue with the original data, or start a new run";
    throw new GradpoolError("failed_precondition", `the cursor is from another data set; ${advice}`);
  }
  const startPlace: SequencePlace = { rows: 0, place: dataset.start, blockRows: 0, rowTokens: 0, packedBlocks: 0 };
  const packing = packingOf(recipe);
  let index = cursor?.microBatches ?? 0;
  for (let epoch = cursor?.epoch ?? 0; epoch < epochs; epoch++) {
    const from = epoch === cursor?.epoch ? placeOf(cursor) : startPlace;
    const sequences = epochSequences(dataset, recipe, encoder, epoch, from, signal);
    for await (const { members, last } of groups(sequences, recipe.batchSize)) {
      const place = last ? startPlace : members.at(-1)!.after;
      const cursorAfter = cursorAt(last ? epoch + 1 : epoch, index + 1, place, dataset.hash);
      yield { index, epoch, lastOfEpoch: last, ...pad(members, encoder.padId), cursorAfter };
      index++;
    }
    if (index === 0) throw packing === "bfd" ? noTokens() : noRows(recipe);
  }
}

/** Packing leaves out empty rows. */
export function noTokens(): GradpoolError {
  const message = "the rows of the data set are all empty; give others, or set --append_eos";
  return new GradpoolError("failed_precondition", message);
}

export function noRows({ evalFraction, heldOut }: DataRecipe): GradpoolError {
  if (evalFraction > 0) {
    const problem = heldOut ? "holds out none of the data set's rows; raise it" : "leaves no row to train on; lower it";
    const advice = "or give held-out data with eval_dataset";
    return new GradpoolError("failed_precondition", `eval_fraction ${evalFraction} ${problem}, ${advice}`);
  }
  return new GradpoolError(
    "failed_precondition",
    "the data set has no rows: its files are empty or have only blank lines; give others",
  );
}

function placeOf({ rows, otherSources, blockRows, rowTokens, packedBlocks, ...cursor }: Cursor): SequencePlace {
  const place = [cursor, ...otherSources].map(({ file, byteOffset, innerOffset, line }) => ({
    file,
    byteOffset,
    innerOffset,
    line,
  }));
  return { rows, place, blockRows, rowTokens, packedBlocks };
}

function cursorAt(epoch: number, microBatches: number, at: SequencePlace, datasetHash: string): Cursor {
  const { rows, place, blockRows, rowTokens, packedBlocks } = at;
  const [first, ...otherSources] = place;
  return { epoch, microBatches, rows, ...first!, otherSources, blockRows, rowTokens, packedBlocks, datasetHash };
}

function epochSequences(
  dataset: Dataset,
  recipe: DataRecipe,
  encoder: Encoder,
  epoch: number,
  from: SequencePlace,
  signal: AbortSignal,
): AsyncGenerator<Sequence> {
  const packing = packingOf(recipe);
  if (packing === "bfd") {
    const rows = epochRows(dataset, { ...recipe, shuffleBuffer: 0 }, epoch, from, signal);
    return bestFitSequences(rows, recipe, encoder, epoch, from, signal);
  }
  const rows = epochRows(dataset, recipe, epoch, from, signal);
  if (packing === "wrapped") return packedSequences(rows, recipe, encoder, from.rowTokens, signal);
  return cutSequences(rows, recipe, encoder, signal);
}

/** Consecutive sequences, `size` at a time, the last group smaller; looks one sequence ahead to know the last. */
async function* groups(
  sequences: AsyncIterable<Sequence>,
  size: number,
): AsyncGenerator<{ members: Sequence[]; last: boolean }> {
  let members: Sequence[] = [];
  let longest = 1;
  for await (const sequence of sequences) {
    if (members.length === size) {
      yield { members, last: false };
      members = [];
      longest = 1;
    }
    members.push(sequence);
    longest = Math.max(longest, sequence.tokens.length);
    if (members.length * (longest + 1) > MAX_MICRO_BATCH_TOKENS) throw tooLarge(members.length, longest);
  }
  if (members.length > 0) yield { members, last: true };
}

function tooLarge(rows: number, rowLength: number): GradpoolError {
  const what = `a micro-batch of ${rows} or more rows of ${rowLength} tokens`;
  const advice = "lower batch_size (and raise gradient_accumulation instead) or max_length";
  return new GradpoolError("invalid_argument", `${what} is above ${MAX_MICRO_BATCH_TOKENS} tokens; ${advice}`);
}

function pad(members: Sequence[], padId: number) {
  const lengths = members.map(({ tokens }) => tokens.length);
  const rowLength = lengths.reduce((longest, length) => Math.max(longest, length), 1);
  const ids = new Int32Array(members.length * rowLength).fill(padId);
  const mask = new Uint8Array(members.length * rowLength);
  let [targetTokens, rowsWithoutTarget] = [0, 0];
  for (const [row, { tokens, counted, documents = [tokens.length] }] of members.entries()) {
    let start = row * rowLength;
    ids.set(tokens, start);
    if (counted) mask.set(counted, start);
    else mask.fill(1, start, start + tokens.length);
    for (const length of documents) {
      mask[start] = 0;
      const targets = mask.subarray(start, start + length).reduce((sum, counts) => sum + counts, 0);
      targetTokens += targets;
      if (targets === 0) rowsWithoutTarget++;
      start += length;
    }
  }
  const allTokens = lengths.reduce((sum, length) => sum + Math.max(0, length - 1), 0);
  const targetMask = targetTokens === allTokens ? new Uint8Array() : mask;
  return {
    ...{ rows: members.length, rowLength, ids, lengths, targetTokens, targetMask },
    documentLengths: members.flatMap(({ documents = [] }) => documents),
    rowsCut: members.reduce((sum, { rowsCut }) => sum + rowsCut, 0),
    rowsWithoutEos: members.reduce((sum, { rowsWithoutEos }) => sum + rowsWithoutEos, 0),
    rowsWithoutTarget,
  };
}
