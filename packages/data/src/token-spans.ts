/** Which of a text's tokens count in the loss. */
import type { ChatTemplate } from "./chat-template.js";
import type { RowContent } from "./row-content.js";

/** Code units [start, end) of a text that count. */
export interface Span {
  start: number;
  end: number;
}

/** A text to encode, and the prefixes whose ids tell which of its tokens lie in its spans. */
export interface TextWithSpans {
  text: string;
  /** Undefined when all of it counts. */
  spans: Span[] | undefined;
  /** The text up to each place where a span begins or ends. */
  prefixes: string[];
  /** The tokenizer's own ids belong around the text; a chat template has written them itself. */
  specialTokens: boolean;
}

/** The text of a row. Errors: those of the chat template. */
export function textWithSpans(content: RowContent, template: ChatTemplate | undefined): TextWithSpans {
  if ("text" in content) {
    const { text, promptLength } = content;
    const spans = promptLength === 0 ? undefined : [{ start: promptLength, end: text.length }];
    return { text, spans, prefixes: prefixesOf(text, spans), specialTokens: true };
  }
  if (template === undefined) throw new Error("a chat without a template");
  const { text, spans } = template.render(content.messages);
  return { text, spans, prefixes: prefixesOf(text, spans), specialTokens: false };
}

/** Places within a text, in order: its ends need no prefix. */
function bordersOf(text: string, spans: readonly Span[] | undefined): number[] {
  const places = new Set((spans ?? []).flatMap(({ start, end }) => [start, end]));
  return [...places].filter((place) => place > 0 && place < text.length).sort((one, other) => one - other);
}

function prefixesOf(text: string, spans: readonly Span[] | undefined): string[] {
  return bordersOf(text, spans).map((place) => text.slice(0, place));
}

/** The text behind a border, where the ids of the text before it do not tell the border's token; else undefined. */
export function suffixNeeded(
  text: TextWithSpans,
  border: number,
  ids: Int32Array,
  prefix: Int32Array,
): string | undefined {
  return startsWith(ids, prefix) ? undefined : text.text.slice(text.prefixes[border]!.length);
}

/** What is known of a border: the ids of the text before it and, where it was needed, behind it. */
export interface BorderIds {
  prefix: Int32Array;
  suffix: Int32Array | undefined;
}

/**
 * For each of a text's ids 1 if it lies in a span, wholly or in part, else 0; undefined when all count. As by
 * transformers' char_to_token, a token that reaches over a border belongs to the span.
 */
export function countedTokens(
  { text, spans }: TextWithSpans,
  ids: Int32Array,
  known: readonly BorderIds[],
): Uint8Array | undefined {
  if (spans === undefined) return undefined;
  const places = bordersOf(text, spans);
  const borders = new Map(places.map((place, index) => [place, borderOf(ids, known[index]!)]));
  const counted = new Uint8Array(ids.length);
  for (const { start, end } of spans) {
    if (start === end) continue;
    const first = start === 0 ? 0 : (borders.get(start)?.begin ?? ids.length);
    const last = end === text.length ? ids.length : (borders.get(end)?.end ?? 0);
    counted.fill(1, first, Math.max(first, last));
  }
  return counted;
}

/**
 * The first token that reaches behind a border, and the one behind the last that reaches into what lies before it.
 * Where the ids before the border begin the text's, or those behind it end them, a token ends at the border, for
 * ids stand for bytes. Else a token reaches over it.
 */
function borderOf(ids: Int32Array, { prefix, suffix }: BorderIds): { begin: number; end: number } {
  if (startsWith(ids, prefix)) return { begin: prefix.length, end: prefix.length };
  const rest = suffix ? ids.length - suffix.length : -1;
  if (suffix && rest >= 0 && startsWith(ids.subarray(rest), suffix)) return { begin: rest, end: rest };
  let begin = 0;
  while (begin < ids.length && prefix[begin] === ids[begin]) begin++;
  return { begin, end: Math.min(begin + 1, ids.length) };
}

function startsWith(ids: Int32Array, prefix: Int32Array): boolean {
  return prefix.length <= ids.length && prefix.every((id, index) => id === ids[index]);
}
