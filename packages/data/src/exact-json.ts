/**
 * JSON of chats without loss: templates print a tool's arguments as Python does, which reads 1.0 as a float, 1 as an int,
 * and integers of any size. Whole floats are `Float`, integers beyond 2^53 are bigint; everything else is as JSON.parse
 * gives it.
 */
import { Float } from "@gradpool/jinja";

/** A number that JSON.parse would change, or a text that looks like one. */
const CHANGED = /[:[,]\s*-?\d+(?:[.eE]|\d{15})/;

/** Errors: SyntaxError. The text must not be nested deeply. */
export function parseExactJson(text: string): unknown {
  // What JSON.parse refuses is refused in its words.
  const value: unknown = JSON.parse(text);
  return CHANGED.test(text) ? new ExactReader(text).value() : value;
}

export function writeExactJson(value: unknown): string {
  if (value instanceof Float)
    return Number.isInteger(value.value) ? `${value.value.toExponential()}` : String(value.value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number" && !Number.isFinite(value))
    return Number.isNaN(value) ? "null" : value > 0 ? "1e999" : "-1e999";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(writeExactJson).join()}]`;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${writeExactJson(item)}`).join()}}`;
}

/** Reads a text that is known to be JSON. */
class ExactReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): unknown {
    this.#blanks();
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#string();
      default:
        return this.#scalar();
    }
  }

  #object(): unknown {
    const entries: [string, unknown][] = [];
    for (this.#at++; !this.#closes("}");) {
      this.#blanks();
      const key = this.#string();
      this.#blanks();
      this.#at++;
      entries.push([key, this.value()]);
    }
    return Object.fromEntries(entries);
  }

  #array(): unknown[] {
    const items: unknown[] = [];
    for (this.#at++; !this.#closes("]");) items.push(this.value());
    return items;
  }

  #closes(end: string): boolean {
    this.#blanks();
    if (this.#text[this.#at] === ",") this.#at++;
    this.#blanks();
    if (this.#text[this.#at] !== end) return false;
    this.#at++;
    return true;
  }

  #string(): string {
    const start = this.#at++;
    while (this.#text[this.#at] !== '"') this.#at += this.#text[this.#at] === "\\" ? 2 : 1;
    return JSON.parse(this.#text.slice(start, ++this.#at)) as string;
  }

  #scalar(): unknown {
    const start = this.#at;
    while (this.#at < this.#text.length && !/[\s,\]}]/.test(this.#text[this.#at]!)) this.#at++;
    const token = this.#text.slice(start, this.#at);
    const value: unknown = JSON.parse(token);
    if (typeof value !== "number") return value;
    if (/[.eE]/.test(token)) return Number.isInteger(value) ? new Float(value) : value;
    return Number.isSafeInteger(value) ? value : BigInt(token);
  }

  #blanks(): void {
    while (" \t\n\r".includes(this.#text[this.#at] ?? "x")) this.#at++;
  }
}
