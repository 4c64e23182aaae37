/**
 * What one rendering may cost. Templates and the values given to them are untrusted input, and run in the process of a
 * service, so each of these holds whatever a template does:
 *
 *  L1  time: a rendering takes at most `steps` steps, a step being a statement, an operation, an item of a loop, or
 *      CHARS_PER_STEP characters looked at;
 *  L2  memory: all texts made during a rendering have at most `madeChars` characters together, and lists cost a step
 *      an item, so that what is held at any time is bounded by L1 and L2;
 *  L3  one text, the result included, has at most `textChars` characters;
 *  L4  depth: expressions, blocks, calls and printed values are nested at most MAX_DEPTH deep;
 *  L5  numbers have at most MAX_INT_BITS bits.
 */
import { TemplateLimitError } from "./errors.js";

export interface Limits {
  steps: number;
  madeChars: number;
  textChars: number;
}

export const DEFAULT_LIMITS: Limits = { steps: 20_000_000, madeChars: 2 ** 29, textChars: 2 ** 26 };

export const CHARS_PER_STEP = 256;
export const MAX_DEPTH = 200;
export const MAX_INT_BITS = 1 << 14;
/** Of range(), as in Jinja2's sandbox. */
export const MAX_RANGE = 100_000;
/** Digits after the point that a number may be printed with. */
export const MAX_PRECISION = 1000;

/** Counts what a rendering costs. Errors: TemplateLimitError. */
export class Meter {
  readonly #limits: Limits;
  #steps = 0;
  #made = 0;
  #depth = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  step(count = 1): void {
    this.#steps += count;
    if (this.#steps > this.#limits.steps) throw new TemplateLimitError(`takes more than ${this.#limits.steps} steps`);
  }

  /** Characters are looked at. */
  read(chars: number): void {
    this.step(1 + chars / CHARS_PER_STEP);
  }

  /** A text of this length is to be made. */
  text(chars: number): void {
    this.#made += chars;
    this.checkLength(chars);
    if (this.#made > this.#limits.madeChars) {
      throw new TemplateLimitError(`makes texts of more than ${this.#limits.madeChars} characters together`);
    }
    this.read(chars);
  }

  checkLength(chars: number): void {
    if (chars <= this.#limits.textChars) return;
    throw new TemplateLimitError(`makes a text of more than ${this.#limits.textChars} characters`);
  }

  /** A text that has been made, of a length that follows from what was looked at. */
  made(text: string): string {
    this.text(text.length);
    return text;
  }

  nested<T>(work: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw tooDeep();
    const result = work();
    this.#depth--;
    return result;
  }
}

export function tooDeep(): TemplateLimitError {
  return new TemplateLimitError(`is nested more than ${MAX_DEPTH} deep`);
}
