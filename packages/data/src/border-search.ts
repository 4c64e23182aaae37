/**
 * Finds the borders of a text's spans in its ids without the text's offsets, in time linear in the text: the parts
 * between borders are encoded one by one, and where the ids of a part are the text's next ones, a token ends at the part's
 * end, since ids stand for bytes. A part whose ids are not has a token that crosses its end: it is joined with the next.
 */
import type { Span } from "@gradpool/jinja";
import { borderOf, bordersOf, startsWith, type Border } from "./token-spans.js";

/** Characters of parts that are encoded at a time, per token still to be found: a token rarely has more. */
const CHARS_PER_TOKEN = 8;
const MIN_CHARS = 4096;

export class BorderSearch {
  /** What has been found, by place in the text. */
  readonly borders = new Map<number, Border>();
  readonly #text: string;
  readonly #ids: Int32Array;
  /** Ends of the parts; the last is the text's. */
  readonly #ends: number[];
  /** The parts that the next ids are for. */
  #asked: { start: number; end: number }[] = [];
  #part = 0;
  /** Where the ids that are not assigned begin, in the text and in its ids. */
  #start = 0;
  #at = 0;
  /** Parts that had to be joined, with their own ids. */
  #joined: { end: number; ids: Int32Array }[] = [];

  /** `ids` may be only the text's first ones. */
  constructor(text: string, spans: readonly Span[], ids: Int32Array) {
    this.#text = text;
    this.#ids = ids;
    const borders = bordersOf(text, spans);
    this.#ends = borders.length === 0 ? [] : [...borders, text.length];
  }

  /** Texts whose ids are wanted next; none when all borders within the ids are found. */
  wanted(): string[] {
    this.#asked = [];
    if (this.#at >= this.#ids.length || this.#part >= this.#ends.length) return [];
    const enough = Math.max(MIN_CHARS, CHARS_PER_TOKEN * (this.#ids.length - this.#at));
    const last = this.#joined.at(-1);
    if (last) {
      // The next part alone, and everything since the last certain border with it.
      const end = this.#ends[this.#part]!;
      this.#asked = [
        { start: last.end, end },
        { start: this.#start, end },
      ];
    } else {
      let start = this.#start;
      for (let part = this.#part, chars = 0; part < this.#ends.length && chars < enough; part++) {
        const end = this.#ends[part]!;
        this.#asked.push({ start, end });
        chars += end - start;
        start = end;
      }
    }
    return this.#asked.map(({ start, end }) => this.#text.slice(start, end));
  }

  /** Takes the ids of the texts that were wanted. */
  take(encoded: readonly Int32Array[]): void {
    if (this.#joined.length > 0) return this.#takeJoined(encoded[0]!, encoded[1]!);
    for (const [index, { end }] of this.#asked.entries()) {
      const ids = encoded[index]!;
      this.#part++;
      if (!this.#isNext(ids)) {
        this.#joined = [{ end, ids }];
        return;
      }
      this.#advance(end, ids.length);
    }
  }

  #takeJoined(part: Int32Array, whole: Int32Array): void {
    const end = this.#ends[this.#part++]!;
    if (!this.#isNext(whole) && this.#part < this.#ends.length) {
      this.#joined.push({ end, ids: part });
      return;
    }
    // Where nothing fits up to the text's end, its ids are those that are left.
    const ids = this.#isNext(whole) ? whole : this.#ids.subarray(this.#at);
    const parts = [...this.#joined, { end, ids: part }];
    for (const [index, { end: border, ids: before }] of this.#joined.entries()) {
      // From the second on, only the part after the border is known by itself.
      const suffix = index === parts.length - 2 ? part : undefined;
      const found =
        index === 0 ? borderOf(ids, before, suffix) : borderOf(ids, concat(parts.slice(0, index + 1)), suffix);
      this.borders.set(border, { begin: this.#at + found.begin, end: this.#at + found.end });
    }
    this.#joined = [];
    this.#advance(end, ids.length);
  }

  #advance(end: number, tokens: number): void {
    this.#start = end;
    this.#at += tokens;
    if (end < this.#text.length) this.borders.set(end, { begin: this.#at, end: this.#at });
  }

  /** Whether these are the next ids, as far as there are any. */
  #isNext(ids: Int32Array): boolean {
    const rest = this.#ids.subarray(this.#at);
    return startsWith(rest, ids.subarray(0, rest.length));
  }
}

function concat(parts: readonly { ids: Int32Array }[]): Int32Array {
  return Int32Array.from(parts.flatMap(({ ids }) => [...ids]));
}
