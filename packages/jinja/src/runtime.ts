/** One rendering: its output, its variables, and what it has cost so far. */
import { attributeOf, itemOf } from "./attributes.js";
import { TemplateError } from "./errors.js";
import { FILTERS } from "./filters.js";
import type { Meter } from "./limits.js";
import { Dict, type Filter, type Runtime, type Value } from "./values.js";

/** Code units [start, end) of the text. */
export interface Span {
  start: number;
  end: number;
}

/** A part of the text that was written while the loop over `item` was at it. */
export interface Piece extends Span {
  item: number;
}

export class Output {
  text = "";
}

/** Around what a {% generation %} block writes where it is not written to the text itself but kept in a variable. */
export const GENERATION_START = "\ufdd0";
export const GENERATION_END = "\ufdd1";

export class Rendition implements Runtime {
  readonly meter: Meter;
  /** Values of names that no scope has. */
  readonly context: ReadonlyMap<string, Value>;
  readonly root = new Output();
  readonly generations: Span[] = [];
  readonly tracker = new ItemTracker(this.root);
  /** Where output goes: the text, or what a macro or a block keeps. */
  out = this.root;
  usesMarks = false;
  /** Line of the statement that is carried out. */
  line = 0;

  constructor(meter: Meter, context: ReadonlyMap<string, Value>) {
    this.meter = meter;
    this.context = context;
  }

  attributeOf(value: Value, name: string): Value {
    return attributeOf(value, name);
  }

  itemOf(value: Value, key: Value): Value {
    return itemOf(value, key, this.meter);
  }

  filterNamed(name: Value): Filter | undefined {
    return typeof name === "string" ? FILTERS.get(name) : undefined;
  }

  write(text: string): void {
    this.meter.text(text.length);
    this.out.text += text;
    this.meter.checkLength(this.out.text.length);
  }

  /** What is written while `work` is carried out. */
  captured(work: () => void): string {
    const outer = this.out;
    const inner = new Output();
    this.out = inner;
    work();
    this.out = outer;
    return inner.text;
  }

  /** Carries out a {% generation %} block. */
  generation(work: () => void): void {
    if (this.out === this.root) {
      const start = this.root.text.length;
      work();
      this.generations.push({ start, end: this.root.text.length });
      return;
    }
    if (!this.usesMarks) {
      for (const value of this.context.values()) refuseMarks(value);
      this.usesMarks = true;
    }
    this.write(GENERATION_START);
    work();
    this.write(GENERATION_END);
  }
}

/** Keeps which of the caller's items the text is written for: see Template.render. */
export class ItemTracker {
  readonly pieces: Piece[] = [];
  /** Items that a loop came to, whether or not it wrote anything for them. */
  readonly met = new Set<number>();
  readonly #root: Output;
  #item: number | undefined;
  #start = 0;
  #loops = 0;
  /** The innermost loop itself is over the items. */
  #isOwnLoop = false;

  constructor(root: Output) {
    this.#root = root;
  }

  /** One round of a loop. */
  round<T>(value: Value, work: () => T): T {
    const [item, isOwnLoop] = [this.#item, this.#isOwnLoop];
    this.#loops++;
    const tag = tagOf(value);
    this.#isOwnLoop = tag !== undefined;
    if (tag !== undefined) this.#switch(tag);
    const result = work();
    this.#loops--;
    this.#isOwnLoop = isOwnLoop;
    this.#switch(item);
    return result;
  }

  /** A variable is set. In a loop over something else, such as indices, an item that is set is what the round is about. */
  assigned(value: Value): void {
    if (this.#loops === 0 || this.#isOwnLoop) return;
    const tag = tagOf(value);
    if (tag !== undefined) this.#switch(tag);
  }

  finish(): void {
    this.#switch(undefined);
  }

  #switch(item: number | undefined): void {
    if (item !== undefined) this.met.add(item);
    if (item === this.#item) return;
    const end = this.#root.text.length;
    if (this.#item !== undefined && end > this.#start) this.pieces.push({ item: this.#item, start: this.#start, end });
    this.#item = item;
    this.#start = end;
  }
}

function tagOf(value: Value): number | undefined {
  return value instanceof Dict ? value.tag : undefined;
}

function refuseMarks(value: Value): void {
  if (typeof value === "string") {
    if (/[\ufdd0\ufdd1]/.test(value)) throw new TemplateError("a value holds U+FDD0 or U+FDD1");
  } else if (Array.isArray(value)) value.forEach(refuseMarks);
  else if (value instanceof Dict) for (const [, item] of value.entries()) refuseMarks(item);
}
