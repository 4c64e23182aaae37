import type { DatasetRow, FilePlace, PartRow, RowRange } from "./dataset-rows.js";
import { uint32Generator } from "./random.js";

/** Rows that are passed on together. */
const ROWS_AT_A_TIME = 64;

/** Keeps a mixture's draws apart from the shuffling of the same seed. */
const DRAW_KEY = 0x6d6978;

/**
 * Draws each row's source by weight, as Hugging Face's interleave_datasets does with probabilities and
 * "first_exhausted": the rows end when the source that is drawn has none left. The draw of row n depends on
 * seed and n alone: it can resume anywhere, and every epoch has the same rows.
 */
export async function* mixed(
  parts: AsyncGenerator<PartRow[]>[],
  weights: readonly number[],
  { from, before, count, seed }: RowRange,
): AsyncGenerator<DatasetRow[]> {
  const sources = parts.map((pieces) => new RowQueue(pieces));
  const places: FilePlace[] = [...from];
  const bytesOfPart = parts.map(() => 0);
  let rows: DatasetRow[] = [];
  let failure: { error: unknown } | undefined;
  try {
    for (let number = before; number < before + count; number++) {
      const part = drawn(weights, [seed, DRAW_KEY, number]);
      let row: PartRow | undefined;
      try {
        row = await sources[part]!.next();
      } catch (error) {
        failure = { error };
      }
      if (row === undefined) break;
      const { content, line, bytes, end, source, file, readBytes } = row;
      places[part] = { file, ...end };
      bytesOfPart[part] = readBytes;
      const bytesRead = bytesOfPart.reduce((sum, bytes) => sum + bytes, 0);
      rows.push({ content, line, bytes, source, after: [...places], bytesRead });
      if (rows.length < ROWS_AT_A_TIME) continue;
      yield rows;
      rows = [];
    }
    if (rows.length > 0) yield rows;
    // Only now: a reader that stops before it never sees it.
    if (failure) throw failure.error;
  } finally {
    for (const pieces of parts) await pieces.return(undefined);
  }
}

/** An index, with a probability in proportion to its weight. */
function drawn(weights: readonly number[], key: readonly number[]): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let left = (uint32Generator(key)() / 2 ** 32) * total;
  const index = weights.findIndex((weight) => (left -= weight) < 0);
  // Rounding may leave a remainder.
  return index < 0 ? weights.length - 1 : index;
}

class RowQueue {
  readonly #pieces: AsyncGenerator<PartRow[]>;
  #rows: PartRow[] = [];
  #taken = 0;

  constructor(pieces: AsyncGenerator<PartRow[]>) {
    this.#pieces = pieces;
  }

  async next(): Promise<PartRow | undefined> {
    while (this.#taken === this.#rows.length) {
      const { done, value } = await this.#pieces.next();
      if (done) return undefined;
      this.#rows = value;
      this.#taken = 0;
    }
    return this.#rows[this.#taken++];
  }
}
