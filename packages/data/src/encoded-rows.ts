import { type ChatTemplate, chatTemplateOf } from "./chat-template.js";
import { ENCODE_AHEAD_BATCHES, ENCODE_AHEAD_BYTES, ENCODE_BATCH_BYTES, ENCODE_BATCH_ROWS } from "./limits.js";
import type { Encoder } from "./recipe.js";
import type { RowContent } from "./row-content.js";
import { countedTokens, suffixNeeded, textWithSpans, type BorderIds, type TextWithSpans } from "./token-spans.js";

interface ContentRow {
  content: RowContent;
  /** About how large the content is. */
  bytes: number;
}

export interface EncodedRow<R> {
  row: R;
  tokens: Int32Array;
  /** For each token 1 if it counts in the loss, else 0; undefined when all count. */
  counted: Uint8Array | undefined;
}

interface Batch<R> {
  rows: { row: R; text: TextWithSpans }[];
  bytes: number;
}

/**
 * Encodes rows in order: in batches, several of them at a time, so that reading, encoding and the
 * use of the tokens overlap. What is under way is bounded by ENCODE_AHEAD_….
 */
export async function* encodedRows<R extends ContentRow>(
  rows: AsyncIterable<R>,
  encoder: Encoder,
  maxTokens: number,
  signal: AbortSignal,
): AsyncGenerator<EncodedRow<R>> {
  const batches = batched(rows, encoder);
  const underWay: (Batch<R> & { tokens: Promise<EncodedText[]> })[] = [];
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
        const tokens = encodeBatch(batch.value, encoder, maxTokens, signal);
        // Its failure is met when its turn comes, or not at all if the reader leaves before.
        tokens.catch(() => {});
        underWay.push({ ...batch.value, tokens });
        bytesUnderWay += batch.value.bytes;
      }
      const first = underWay.shift();
      if (first === undefined) return;
      const tokens = await first.tokens;
      bytesUnderWay -= first.bytes;
      for (const [index, { row, text }] of first.rows.entries()) {
        const { ids, borders } = tokens[index]!;
        yield { row, tokens: ids, counted: countedTokens(text, ids, borders) };
      }
    }
  } finally {
    await batches.return(undefined);
  }
}

function hasRoom(batches: number, bytes: number): boolean {
  return batches === 0 || (batches < ENCODE_AHEAD_BATCHES && bytes < ENCODE_AHEAD_BYTES);
}

interface EncodedText {
  ids: Int32Array;
  borders: BorderIds[];
}

/** The ids of each row's text, whole where its spans are to be found, and those of its borders. */
async function encodeBatch<R>(
  { rows }: Batch<R>,
  encoder: Encoder,
  maxTokens: number,
  signal: AbortSignal,
): Promise<EncodedText[]> {
  const options = { specialTokens: rows.every(({ text }) => text.specialTokens) };
  const limit = rows.some(({ text }) => text.prefixes.length > 0) ? 0 : maxTokens;
  const texts = rows.flatMap(({ text }) => [text.text, ...text.prefixes]);
  const tokens = (await encoder.encode(texts, limit, signal, options)).values();
  const encoded = rows.map(({ text }) => {
    const ids = tokens.next().value!;
    return { text, ids, borders: text.prefixes.map(() => ({ prefix: tokens.next().value! })) };
  });
  const suffixes = encoded.map(({ text, ids, borders }) =>
    borders.map(({ prefix }, border) => suffixNeeded(text, border, ids, prefix)),
  );
  const needed = suffixes.flat().filter((suffix) => suffix !== undefined);
  const found = (needed.length > 0 ? await encoder.encode(needed, 0, signal, options) : []).values();
  return encoded.map(({ ids, borders }, row) => ({
    ids,
    borders: borders.map(({ prefix }, border) => ({
      prefix,
      suffix: suffixes[row]![border] === undefined ? undefined : found.next().value,
    })),
  }));
}

async function* batched<R extends ContentRow>(rows: AsyncIterable<R>, encoder: Encoder): AsyncGenerator<Batch<R>> {
  let batch: Batch<R> = { rows: [], bytes: 0 };
  let template: ChatTemplate | undefined;
  for await (const row of rows) {
    if ("messages" in row.content) template ??= chatTemplateOf(encoder);
    const text = textWithSpans(row.content, template);
    const bytes = text.prefixes.reduce((sum, prefix) => sum + prefix.length, row.bytes);
    const full = batch.rows.length === ENCODE_BATCH_ROWS || batch.bytes + bytes > ENCODE_BATCH_BYTES;
    if (full && batch.rows.length > 0) {
      yield batch;
      batch = { rows: [], bytes: 0 };
    }
    batch.rows.push({ row, text });
    batch.bytes += bytes;
  }
  if (batch.rows.length > 0) yield batch;
}
