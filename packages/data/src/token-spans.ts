/** Which of a text's tokens count in the loss. */
import type { Span } from "@gradpool/jinja";
import type { ChatTemplate } from "./chat-template.js";
import type { TrainOn } from "./chat.js";
import type { RowContent } from "./row-content.js";

/** What of a text counts: all of it, what comes after a prompt's ids, or the tokens in spans. */
export type Targets = { kind: "all" } | { kind: "after"; prompt: string } | { kind: "spans"; spans: Span[] };

/** A text to encode, and what of it counts. */
export interface TargetText {
  text: string;
  targets: Targets;
  /** The tokenizer's own ids belong around the text; a chat template has written them itself. */
  specialTokens: boolean;
}

/** The text of a row. Errors: those of the chat template. */
export function targetText(content: RowContent, template: ChatTemplate | undefined, trainOn: TrainOn): TargetText {
  if ("text" in content) {
    const { text, promptLength } = content;
    const prompt = text.slice(0, promptLength);
    return { text, targets: promptLength === 0 ? { kind: "all" } : { kind: "after", prompt }, specialTokens: true };
  }
  if (template === undefined) throw new Error("a chat without a template");
  const { text, spans, prompt } = template.render(content, trainOn);
  const targets: Targets = prompt === undefined ? { kind: "spans", spans } : { kind: "after", prompt };
  return { text, targets, specialTokens: false };
}

/** Places within a text where what counts begins or ends, in order. */
export function bordersOf(text: string, spans: readonly Span[]): number[] {
  const places = new Set(spans.flatMap(({ start, end }) => [start, end]));
  return [...places].filter((place) => place > 0 && place < text.length).sort((one, other) => one - other);
}

/**
 * A border in ids: the first token that reaches beyond it, and the one after the last that reaches into what comes
 * before it. They are one where a token ends at the border.
 */
export interface Border {
  begin: number;
  end: number;
}

/**
 * For each of a text's ids 1 if it is in a span, wholly or in part, else 0. As by transformers, a token that reaches
 * across a border belongs to the span. A border that is missing comes after the ids.
 */
export function countedIn(
  { length }: string,
  spans: readonly Span[],
  ids: Int32Array,
  borders: ReadonlyMap<number, Border>,
): Uint8Array {
  const counted = new Uint8Array(ids.length);
  for (const { start, end } of spans) {
    if (start === end) continue;
    const first = start === 0 ? 0 : (borders.get(start)?.begin ?? ids.length);
    const last = end === length ? ids.length : (borders.get(end)?.end ?? ids.length);
    counted.fill(1, first, Math.max(first, last));
  }
  return counted;
}

/**
 * For each of a text's ids 1 from `first` on. After a prompt that is the first id that differs from those of the prompt alone,
 * as TRL decides it: where tokens reach over the border, the completion begins with them.
 */
export function countedFrom(ids: Int32Array, first: number): Uint8Array {
  return new Uint8Array(ids.length).fill(1, first);
}

/** Ids that two begin with. */
export function commonLength(one: Int32Array, other: Int32Array): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

/**
 * A border between a text's beginning and its rest, from the ids of all three. Where the ids of the beginning begin the
 * text's, or those of the rest end them, a token ends at the border, since ids stand for bytes. Else a token crosses it.
 */
export function borderOf(ids: Int32Array, prefix: Int32Array, suffix: Int32Array | undefined): Border {
  if (startsWith(ids, prefix)) return { begin: prefix.length, end: prefix.length };
  const rest = suffix ? ids.length - suffix.length : -1;
  if (suffix && rest >= 0 && startsWith(ids.subarray(rest), suffix)) return { begin: rest, end: rest };
  const begin = commonLength(ids, prefix);
  return { begin, end: Math.min(begin + 1, ids.length) };
}

export function startsWith(ids: Int32Array, prefix: Int32Array): boolean {
  return prefix.length <= ids.length && prefix.every((id, index) => id === ids[index]);
}
