/**
 * Joins small micro-batches of a step that follow one another into one, which a trainer computes in one pass: each pass
 * reads all of the model's weights, however few rows it has. Recipe and data alone decide which are joined (I2), and the
 * step is the sum over the same rows (I1).
 */
import type { MicroBatch } from "@gradpool/rpc";
import { addCounts, NO_ROWS } from "./row-counts.js";
import type { StepPart } from "./target-groups.js";

/** A pass of its own takes about as long as this many more tokens (docs/numbers.md), so more padding is not worth it. */
const MOST_PADDING = 64;

const ID_BYTES = Int32Array.BYTES_PER_ELEMENT;

type Shape = Pick<MicroBatch, "rows" | "rowLength">;

const NO_SHAPE: Shape = { rows: 0, rowLength: 0 };
const tokensOf = ({ rows, rowLength }: Shape): number => rows * rowLength;

export class MicroBatchJoiner {
  readonly #passTokens: number;
  /** Those to be joined next, and what those of them that have targets come to. */
  #parts: StepPart[] = [];
  #shape = NO_SHAPE;

  /** `passTokens`: most tokens [B, S] of a joined micro-batch, padding included; 0: none are joined. */
  constructor(passTokens: number) {
    this.#passTokens = passTokens;
  }

  /** Takes the next part of a step; gives those that no other will join. */
  add(part: StepPart): StepPart[] {
    if (this.#passTokens === 0) return [part];
    const given: StepPart[] = [];
    const { microBatch, lastOfStep } = part;
    let shape = this.#with(microBatch);
    if (!this.#fits(microBatch, shape)) {
      given.push(this.#take());
      shape = this.#with(microBatch);
    }
    this.#parts.push(part);
    this.#shape = shape;
    if (lastOfStep) given.push(this.#take());
    return given;
  }

  /** Nothing comes of rows without targets, so that they join any others at no cost. */
  #with({ rows, rowLength, targetTokens }: MicroBatch): Shape {
    if (targetTokens === 0) return this.#shape;
    return { rows: this.#shape.rows + rows, rowLength: Math.max(this.#shape.rowLength, rowLength) };
  }

  #fits(microBatch: MicroBatch, shape: Shape): boolean {
    if (shape === this.#shape || this.#shape.rows === 0) return true;
    const padding = tokensOf(shape) - tokensOf(this.#shape) - tokensOf(microBatch);
    return tokensOf(shape) <= this.#passTokens && padding <= MOST_PADDING;
  }

  #take(): StepPart {
    const joined = join(this.#parts);
    this.#parts = [];
    this.#shape = NO_SHAPE;
    return joined;
  }
}

function join(parts: readonly StepPart[]): StepPart {
  const [first, last] = [parts[0], parts.at(-1)];
  if (!first || !last) throw new Error("there is no micro-batch to join");
  if (first === last) return first;
  const counted = parts.map(({ microBatch }) => microBatch).filter(({ targetTokens }) => targetTokens > 0);
  const { lastOfEpoch, cursorAfter } = last.microBatch;
  const microBatch = {
    ...joinedRows(counted, first.microBatch),
    index: first.microBatch.index,
    lastOfEpoch,
    cursorAfter,
  };
  const counts = parts.reduce((sum, part) => addCounts(sum, part.counts), NO_ROWS);
  return { microBatch, counts, lastOfStep: last.lastOfStep };
}

/** Rows of all, padded to the longest. */
function joinedRows(all: readonly MicroBatch[], otherwise: MicroBatch): MicroBatch {
  const [first = otherwise, second] = all;
  if (!second) return first;
  const rowLength = Math.max(...all.map((microBatch) => microBatch.rowLength));
  const sum = (count: (microBatch: MicroBatch) => number) => all.reduce((total, one) => total + count(one), 0);
  const hasMask = all.some(({ targetMask }) => targetMask.length > 0);
  const hasDocuments = all.some(({ documentLengths }) => documentLengths.length > 0);
  return {
    ...first,
    rows: sum(({ rows }) => rows),
    rowLength,
    ids: padded(all, rowLength * ID_BYTES, ({ ids }) => ids),
    lengths: all.flatMap(({ lengths }) => lengths),
    targetMask: hasMask ? padded(all, rowLength, maskOf) : first.targetMask,
    documentLengths: hasDocuments ? all.flatMap(documentsOf) : [],
    targetTokens: sum(({ targetTokens }) => targetTokens),
    rowsCut: sum(({ rowsCut }) => rowsCut),
    rowsWithoutEos: sum(({ rowsWithoutEos }) => rowsWithoutEos),
    rowsWithoutTarget: sum(({ rowsWithoutTarget }) => rowsWithoutTarget),
  };
}

/** The rows of all, one after another, each filled up with zeros: what pads a row has no effect, as long as it is some token's id. */
function padded(
  all: readonly MicroBatch[],
  rowBytes: number,
  bytesOf: (microBatch: MicroBatch) => Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(rowBytes * all.reduce((rows, microBatch) => rows + microBatch.rows, 0));
  let at = 0;
  for (const microBatch of all) {
    const own = bytesOf(microBatch);
    const ownRowBytes = own.length / microBatch.rows;
    for (let row = 0; row < microBatch.rows; row++, at += rowBytes) {
      bytes.set(own.subarray(row * ownRowBytes, (row + 1) * ownRowBytes), at);
    }
  }
  return bytes;
}

/** Where every target counts, all ids of a row but its first. */
function maskOf({ rows, rowLength, lengths, targetMask }: MicroBatch): Uint8Array {
  if (targetMask.length > 0) return targetMask;
  const mask = new Uint8Array(rows * rowLength);
  for (const [row, length] of lengths.entries())
    mask.fill(1, row * rowLength + 1, row * rowLength + Math.max(1, length));
  return mask;
}

const documentsOf = ({ lengths, documentLengths }: MicroBatch): number[] =>
  documentLengths.length > 0 ? documentLengths : lengths.filter((length) => length > 0);
