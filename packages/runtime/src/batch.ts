import { DOCUMENT_POSITIONS, LONGEST_DOCUMENT } from "@gradpool/models";
import type { TensorData } from "./session.js";

/** A micro-batch: B rows of up to S tokens, right-padded. */
export interface Batch {
  rows: number;
  rowLength: number;
  /** [B, S]. */
  ids: Int32Array;
  /** Tokens of each row without padding [B]. */
  lengths: readonly number[];
  /** Which ids count in the loss where they are targets [B, S], 0 or 1 each; none or empty: all. */
  targetMask?: Uint8Array;
  /**
   * Tokens of the documents that rows hold, one after another, row after row; a document's first token is no target
   * in the mask. None or empty: each row is one document.
   */
  documentLengths?: readonly number[];
}

/**
 * What the loss graphs take for a micro-batch: each position predicts the next, so inputs and targets
 * are the ids without the last and without the first position; weights leave out padding, and what a mask
 * leaves out.
 */
export function lossFeeds({ rows, rowLength, ids, lengths, targetMask }: Batch) {
  const positions = Math.max(1, rowLength - 1);
  const size = rows * positions;
  const inputs = new BigInt64Array(size);
  const targets = new BigInt64Array(size);
  const weights = new Float32Array(size);
  let targetTokens = 0;
  for (let row = 0; row < rows; row++) {
    const counted = Math.max(0, (lengths[row] ?? 0) - 1);
    for (let position = 0; position < positions; position++) {
      const at = row * positions + position;
      inputs[at] = BigInt(ids[row * rowLength + position] ?? 0);
      if (position >= counted) continue;
      const target = row * rowLength + position + 1;
      targets[at] = BigInt(ids[target] ?? 0);
      const weight = targetMask?.length ? Number(targetMask[target] === 1) : 1;
      weights[at] = weight;
      targetTokens += weight;
    }
  }
  const feeds = new Map<string, TensorData>([
    ["ids", inputs],
    ["positions", range(positions)],
    ["targets", targets],
    ["weights", weights],
  ]);
  return { feeds, symbols: { B: rows, S: positions }, targetTokens };
}

/**
 * What graphs for rows that hold several documents take besides: each token's position in its own, as far as it is an
 * input. A padding token is a document by itself.
 */
export function documentFeeds({ rows, rowLength, lengths, documentLengths }: Batch): Map<string, TensorData> {
  const places = Math.max(1, rowLength - 1);
  const positions = new BigInt64Array(rows * places);
  const documents = (documentLengths?.length ? documentLengths : lengths).values();
  let longest = 1;
  for (let row = 0; row < rows; row++) {
    for (let start = 0; start < (lengths[row] ?? 0);) {
      const length = documents.next().value ?? 0;
      if (length < 1) throw new Error(`the documents of row ${row} do not add up to its length`);
      const end = Math.min(start + length, places);
      for (let place = start; place < end; place++) positions[row * places + place] = BigInt(place - start);
      longest = Math.max(longest, length);
      start += length;
    }
  }
  return new Map<string, TensorData>([
    [DOCUMENT_POSITIONS, positions],
    [LONGEST_DOCUMENT, Float32Array.of(longest)],
  ]);
}

/** 0 … length − 1. */
export const range = (length: number) => BigInt64Array.from({ length }, (_, i) => BigInt(i));
