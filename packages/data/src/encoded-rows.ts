import { ENCODE_AHEAD_BATCHES, ENCODE_AHEAD_BYTES, ENCODE_BATCH_BYTES, ENCODE_BATCH_ROWS } from "./limits.js";
import type { Encoder } from "./recipe.js";

interface TextRow {
  text: string;
  /** About how large the text is. */
  bytes: number;
}

interface Batch<R> {
  rows: R[];
  bytes: number;
}

/**
 * Encodes rows in order: in batches, several of them at a time, so that reading, encoding and the
 * use of the tokens overlap. What is under way is bounded by ENCODE_AHEAD_….
 */
export async function* encodedRows<R extends TextRow>(
  rows: AsyncIterable<R>,
  encoder: Encoder,
  maxTokens: number,
  signal: AbortSignal,
): AsyncGenerator<{ row: R; tokens: Int32Array }> {
  const batches = batched(rows);
  const underWay: (Batch<R> & { tokens: Promise<Int32Array[]> })[] = [];
  let bytesUnderWay = 0;
  let exhausted = false;
  try {
    for (;;) {
      while (!exhausted && hasRoom(underWay.length, bytesUnderWay)) {
        const batch = await batches.next();
        if (batch.done) {
          exhausted = true;
          break;
        }
        const texts = batch.value.rows.map((row) => row.text);
        const tokens = encoder.encode(texts, maxTokens, signal);
        // Its failure is met when its turn comes, or not at all if the reader leaves before.
        tokens.catch(() => {});
        underWay.push({ ...batch.value, tokens });
        bytesUnderWay += batch.value.bytes;
      }
      const first = underWay.shift();
      if (first === undefined) return;
      const tokens = await first.tokens;
      bytesUnderWay -= first.bytes;
      for (const [index, row] of first.rows.entries()) yield { row, tokens: tokens[index]! };
    }
  } finally {
    await batches.return(undefined);
  }
}

function hasRoom(batches: number, bytes: number): boolean {
  return batches === 0 || (batches < ENCODE_AHEAD_BATCHES && bytes < ENCODE_AHEAD_BYTES);
}

async function* batched<R extends TextRow>(rows: AsyncIterable<R>): AsyncGenerator<Batch<R>> {
  let batch: Batch<R> = { rows: [], bytes: 0 };
  for await (const row of rows) {
    const full = batch.rows.length === ENCODE_BATCH_ROWS || batch.bytes + row.bytes > ENCODE_BATCH_BYTES;
    if (full && batch.rows.length > 0) {
      yield batch;
      batch = { rows: [], bytes: 0 };
    }
    batch.rows.push(row);
    batch.bytes += row.bytes;
  }
  if (batch.rows.length > 0) yield batch;
}
