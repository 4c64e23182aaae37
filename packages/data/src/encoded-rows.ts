import { GradpoolError } from "@gradpool/errors";
import { BorderSearch } from "./border-search.js";
import { type ChatTemplate, chatTemplateOf } from "./chat-template.js";
import { ENCODE_AHEAD_BATCHES, ENCODE_AHEAD_BYTES, ENCODE_BATCH_BYTES, ENCODE_BATCH_ROWS } from "./limits.js";
import type { ChatOptions, Encoder } from "./recipe.js";
import type { RowContent } from "./row-content.js";
import type { SourceFile } from "./readers/reader.js";
import { commonLength, countedFrom, countedIn, targetText, type TargetText } from "./token-spans.js";

interface ContentRow {
  content: RowContent;
  /** Where it comes from. */
  source: SourceFile;
  line: number;
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
  rows: { row: R; text: TargetText }[];
  bytes: number;
}

/**
 * Encodes rows in order: in batches, several of them at a time, so that reading, encoding and the
 * use of the tokens overlap. What is in progress is bounded by ENCODE_AHEAD_…. A row that cannot be read or rendered fails
 * after those before it, so that whoever wants no more than those never meets it.
 */
export async function* encodedRows<R extends ContentRow>(
  rows: AsyncIterable<R>,
  encoder: Encoder,
  { maxTokens, ...chats }: ChatOptions & { maxTokens: number },
  signal: AbortSignal,
): AsyncGenerator<EncodedRow<R>> {
  const batches = batched(rows, encoder, chats);
  const underWay: (Batch<R> & { tokens: Promise<EncodedText[]> })[] = [];
  let bytesUnderWay = 0;
  let exhausted = false;
  let failure: { error: unknown } | undefined;
  try {
    for (;;) {
      while (!exhausted && hasRoom(underWay.length, bytesUnderWay)) {
        const batch = await batches.next().catch((error: unknown) => {
          failure = { error };
          return { done: true as const };
        });
        if (batch.done) {
          exhausted = true;
          break;
        }
        const tokens = encodeBatch(batch.value, encoder, maxTokens, signal);
        // Its failure is thrown when its turn comes, or not at all if the reader stops before.
        tokens.catch(() => {});
        underWay.push({ ...batch.value, tokens });
        bytesUnderWay += batch.value.bytes;
      }
      const first = underWay.shift();
      if (first === undefined) {
        if (failure) throw failure.error;
        return;
      }
      const tokens = await first.tokens;
      bytesUnderWay -= first.bytes;
      for (const [index, { row }] of first.rows.entries()) {
        const { ids, counted } = tokens[index]!;
        yield { row, tokens: ids, counted };
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
  counted: Uint8Array | undefined;
}

type Encode = (texts: readonly string[], limit: number) => Promise<Int32Array[]>;

/** The ids of each row's text, at most `maxTokens` of them (0: all), and which count. */
async function encodeBatch<R>(
  { rows }: Batch<R>,
  encoder: Encoder,
  maxTokens: number,
  signal: AbortSignal,
): Promise<EncodedText[]> {
  const options = { specialTokens: rows.every(({ text }) => text.specialTokens) };
  const encode: Encode = async (texts, limit) =>
    texts.length > 0 ? encoder.encode(texts, limit, signal, options) : [];
  // A border is found from ids of whole texts.
  const limit = rows.some(({ text }) => text.targets.kind === "after") ? 0 : maxTokens;
  const ids = await encode(
    rows.map(({ text }) => text.text),
    limit,
  );
  const counted = new Map([
    ...(await countedAfterPrompts(rows, ids, encode)),
    ...(await countedInSpans(rows, ids, encode)),
  ]);
  return ids.map((all, index) => ({ ids: all, counted: counted.get(index) }));
}

async function countedAfterPrompts(
  rows: readonly { text: TargetText }[],
  ids: readonly Int32Array[],
  encode: Encode,
): Promise<[index: number, counted: Uint8Array][]> {
  const prompted = rows.flatMap(({ text: { targets } }, index) =>
    targets.kind === "after" ? [{ index, prompt: targets.prompt, ids: ids[index]! }] : [],
  );
  const prompts = await encode(
    prompted.map(({ prompt }) => prompt),
    0,
  );
  return prompted.map(({ index, ids: all }, at) => [index, countedFrom(all, commonLength(all, prompts[at]!))]);
}

async function countedInSpans(
  rows: readonly { text: TargetText }[],
  ids: readonly Int32Array[],
  encode: Encode,
): Promise<[index: number, counted: Uint8Array][]> {
  const searches = rows.flatMap(({ text: { text, targets } }, index) =>
    targets.kind === "spans"
      ? [{ index, text, spans: targets.spans, search: new BorderSearch(text, targets.spans, ids[index]!) }]
      : [],
  );
  for (let open = searches; open.length > 0;) {
    const wanted = open.map(({ search }) => search.wanted());
    const found = (await encode(wanted.flat(), 0)).values();
    for (const [at, { search }] of open.entries()) {
      search.take(wanted[at]!.map(() => found.next().value!));
    }
    open = open.filter((_, at) => wanted[at]!.length > 0);
  }
  return searches.map(({ index, text, spans, search }) => [index, countedIn(text, spans, ids[index]!, search.borders)]);
}

async function* batched<R extends ContentRow>(
  rows: AsyncIterable<R>,
  encoder: Encoder,
  { trainOn, now }: ChatOptions,
): AsyncGenerator<Batch<R>> {
  let batch: Batch<R> = { rows: [], bytes: 0 };
  let template: ChatTemplate | undefined;
  let failure: { error: unknown } | undefined;
  try {
    for await (const row of rows) {
      if ("messages" in row.content) template ??= chatTemplateOf(encoder, now);
      const text = located(row, () => targetText(row.content, template, trainOn));
      const bytes = Math.max(row.bytes, text.text.length);
      const full = batch.rows.length === ENCODE_BATCH_ROWS || batch.bytes + bytes > ENCODE_BATCH_BYTES;
      if (full && batch.rows.length > 0) {
        yield batch;
        batch = { rows: [], bytes: 0 };
      }
      batch.rows.push({ row, text });
      batch.bytes += bytes;
    }
  } catch (error) {
    failure = { error };
  }
  if (batch.rows.length > 0) yield batch;
  if (failure) throw failure.error;
}

/** Errors name the row's file and place in it. */
function located<T>({ source, line }: ContentRow, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GradpoolError)) throw error;
    const where = source.reader.rowName(source.name, line);
    throw new GradpoolError(error.code, `${where}: ${error.message}`, { cause: error });
  }
}
