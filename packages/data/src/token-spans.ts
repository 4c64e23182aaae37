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

/**
 * For each of a text's ids 1 if it lies in a span, wholly or in part, else 0; undefined when all count. A place in
 * the text is where its prefix' ids part from the whole text's: as transformers' char_to_token, a token that
 * reaches over a border belongs to the span.
 */
export function countedTokens(
  { text, spans }: TextWithSpans,
  ids: Int32Array,
  prefixIds: readonly Int32Array[],
): Uint8Array | undefined {
  if (spans === undefined) return undefined;
  const places = bordersOf(text, spans);
  const borders = new Map(places.map((place, index) => [place, borderOf(ids, prefixIds[index]!)]));
  const counted = new Uint8Array(ids.length);
  for (const { start, end } of spans) {
    const first = start === 0 ? 0 : (borders.get(start)?.begin ?? ids.length);
    const last = end === text.length ? ids.length : (borders.get(end)?.end ?? 0);
    counted.fill(1, first, Math.max(first, last));
  }
  return counted;
}

/** The first token that reaches behind a prefix, and the one behind the last that reaches into it. */
function borderOf(ids: Int32Array, prefix: Int32Array): { begin: number; end: number } {
  let begin = 0;
  while (begin < prefix.length && begin < ids.length && prefix[begin] === ids[begin]) begin++;
  const reachesOver = begin < prefix.length && begin < ids.length;
  return { begin, end: reachesOver ? begin + 1 : begin };
}
