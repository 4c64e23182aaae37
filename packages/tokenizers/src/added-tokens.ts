/**
 * Finds added tokens in text before anything is merged, as AddedVocabulary of Hugging Face's tokenizers
 * does: at the leftmost place the longest token; those matched in raw text first, then, in what is left
 * and normalized, the others.
 */
import type { AddedToken } from "./definition.js";

/** A part of a text: a token that was found, or text to split and merge. */
export type Segment = number | string;

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /[\p{White_Space}]/u;

export class AddedTokens {
  /** A token may cross a cut before a space, so text must not be cut there. */
  readonly mayCrossSpace: boolean;
  /** Tokens that take the whitespace after them. */
  readonly takingSpaceBehind: string[];
  readonly #raw: Matcher | undefined;
  readonly #normalized: Matcher | undefined;
  readonly #normalize: (text: string) => string;

  /** `splitSpecial`: special tokens are found, and left to be split like other text. */
  constructor(tokens: readonly AddedToken[], normalize: (text: string) => string, splitSpecial = false) {
    const present = tokens.filter(({ content }) => content.length > 0);
    const normalized = present.filter((token) => token.normalized);
    this.#normalize = normalize;
    this.#raw = Matcher.of(
      present.filter((token) => !token.normalized),
      splitSpecial,
    );
    this.#normalized = Matcher.of(
      normalized.map((token) => ({ ...token, content: normalize(token.content) })),
      splitSpecial,
    );
    this.takingSpaceBehind = present.filter(({ rstrip }) => rstrip).map(({ content }) => content);
    this.mayCrossSpace = present.some(
      ({ content, singleWord }) => /\S /u.test(content) || (singleWord && content.startsWith(" ")),
    );
  }

  split(text: string): Segment[] {
    const segments = this.#raw ? this.#raw.split(text) : [text];
    return segments.flatMap((segment) => {
      if (typeof segment === "number") return segment;
      const normal = this.#normalize(segment);
      return this.#normalized ? this.#normalized.split(normal) : normal;
    });
  }
}

class Matcher {
  readonly #tokens: Map<string, AddedToken>;
  readonly #expression: RegExp;

  private constructor(
    tokens: readonly AddedToken[],
    private readonly splitSpecial: boolean,
  ) {
    this.#tokens = new Map(tokens.map((token) => [token.content, token]));
    const longestFirst = [...this.#tokens.keys()].sort((a, b) => b.length - a.length);
    this.#expression = new RegExp(
      longestFirst.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"),
      "gu",
    );
  }

  static of(tokens: readonly AddedToken[], splitSpecial: boolean): Matcher | undefined {
    return tokens.length > 0 ? new Matcher(tokens, splitSpecial) : undefined;
  }

  split(text: string): Segment[] {
    const segments: Segment[] = [];
    let position = 0;
    for (const match of text.matchAll(this.#expression)) {
      const token = this.#tokens.get(match[0]);
      if (!token) throw new Error("a match that is not a token");
      if (this.splitSpecial && token.special) continue;
      let start = match.index;
      let end = start + match[0].length;
      if (token.singleWord && (isWord(text, start, -1) || isWord(text, end, 1))) continue;
      if (token.lstrip) while (start > position && SPACE.test(text[start - 1] ?? "")) start--;
      if (token.rstrip) while (end < text.length && SPACE.test(text[end] ?? "")) end++;
      if (start > position) segments.push(text.slice(position, start));
      segments.push(token.id);
      position = end;
    }
    if (position < text.length) segments.push(text.slice(position));
    return segments;
  }
}

/** Whether the character before (-1) or after (1) a position belongs to a word. */
function isWord(text: string, position: number, direction: -1 | 1): boolean {
  if (direction === 1)
    return position < text.length && WORD.test(String.fromCodePoint(text.codePointAt(position) ?? 0));
  if (position === 0) return false;
  const isPair = position > 1 && /[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(position - 2, position));
  return WORD.test(text.slice(isPair ? position - 2 : position - 1, position));
}
