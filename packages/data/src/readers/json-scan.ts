import { MAX_JSON_DEPTH } from "../limits.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Finds the end of a JSON object, array or string that arrives in pieces, without parsing it. What is not JSON is
 * left to the parser; nesting is bounded before it sees it.
 */
export class JsonScan {
  /** Members of the outermost object so far. */
  members = 0;
  #depth = 0;
  #inString = false;
  /** The last piece ended after an escaping backslash. */
  #escaped = false;

  /** The index after the value's last byte, or -1 when the value continues. Errors: RangeError beyond MAX_JSON_DEPTH. */
  end(bytes: Buffer, from: number): number {
    for (let at = from; at < bytes.length;) {
      if (this.#inString) {
        at = this.#stringEnd(bytes, at);
        if (this.#depth === 0 && !this.#inString) return at;
        continue;
      }
      const byte = bytes[at++]!;
      if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        if (++this.#depth > MAX_JSON_DEPTH) throw new RangeError("nested too deeply");
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        if (--this.#depth <= 0) return at;
      } else if (byte === COLON && this.#depth === 1) this.members++;
    }
    return -1;
  }

  /** The index after the string's closing quote, or the piece's end. */
  #stringEnd(bytes: Buffer, from: number): number {
    let at = from;
    if (this.#escaped) {
      this.#escaped = false;
      at++;
    }
    for (;;) {
      const quote = bytes.indexOf(QUOTE, at);
      const stop = quote < 0 ? bytes.length : quote;
      let backslashes = 0;
      while (stop - backslashes > at && bytes[stop - backslashes - 1] === BACKSLASH) backslashes++;
      const escaped = backslashes % 2 === 1;
      if (quote < 0) {
        this.#escaped = escaped;
        return stop;
      }
      at = quote + 1;
      if (escaped) continue;
      this.#inString = false;
      return at;
    }
  }
}
