import { type GradpoolError } from "@gradpool/errors";

/** One entry of the header as it is written, checked for form only. */
export interface RawEntry {
  dtype: string;
  shape: number[];
  dataOffsets: number[];
}

export interface RawHeader {
  tensors: Map<string, RawEntry>;
  metadata: Record<string, string>;
}

/** Torch's bound on dimensions. */
const MAX_RANK = 64;
const MAX_INTEGER_DIGITS = 16;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SURROGATE = /\p{Surrogate}/u;

/**
 * Reads the header's JSON by its own grammar instead of JSON.parse, which hides duplicate keys and
 * builds whatever a hostile file nests. Time and memory are linear in the text, without recursion.
 * Errors: those of `damaged`, which is given the problem.
 */
export function parseHeaderJson(text: string, damaged: (what: string) => GradpoolError): RawHeader {
  return new HeaderParser(text, damaged).header();
}

/** A tensor's name for messages: quoted, escaped, of bounded length. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}

class HeaderParser {
  #at = 0;

  constructor(
    readonly text: string,
    readonly damaged: (what: string) => GradpoolError,
  ) {}

  header(): RawHeader {
    const tensors = new Map<string, RawEntry>();
    let metadata: Record<string, string> | undefined;
    // The format wants the object to begin at once; only the end may be padded.
    if (this.text[0] !== "{") throw this.damaged("its header does not begin with {");
    this.#object("its header", (key) => {
      if (key === "__metadata__") {
        if (metadata) throw this.damaged("its header has __metadata__ twice");
        metadata = this.#metadata();
        return;
      }
      if (tensors.has(key)) throw this.damaged(`its header has the tensor ${shown(key)} twice`);
      tensors.set(key, this.#entry(`tensor ${shown(key)}`));
    });
    this.#skipSpace();
    if (this.#at < this.text.length) throw this.#unexpected("after the header's end");
    return { tensors, metadata: metadata ?? {} };
  }

  #metadata(): Record<string, string> {
    // A null prototype: "__proto__" is a key like any other.
    const metadata = Object.create(null) as Record<string, string>;
    this.#object("__metadata__", (key) => {
      if (Object.hasOwn(metadata, key)) throw this.damaged(`__metadata__ has the key ${shown(key)} twice`);
      metadata[key] = this.#string(`the value of ${shown(key)} in __metadata__`);
    });
    return metadata;
  }

  #entry(what: string): RawEntry {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let dataOffsets: number[] | undefined;
    this.#object(what, (key) => {
      if (key === "dtype" && dtype === undefined) dtype = this.#string(`the dtype of ${what}`);
      else if (key === "shape" && !shape) shape = this.#integers(`the shape of ${what}`);
      else if (key === "data_offsets" && !dataOffsets) dataOffsets = this.#integers(`the data_offsets of ${what}`);
      else if (["dtype", "shape", "data_offsets"].includes(key)) throw this.damaged(`${what} has ${key} twice`);
      else throw this.damaged(`${what} has the unknown field ${shown(key)}`);
    });
    const missing = dtype === undefined ? "dtype" : !shape ? "shape" : "data_offsets";
    if (dtype === undefined || !shape || !dataOffsets) throw this.damaged(`${what} has no ${missing}`);
    return { dtype, shape, dataOffsets };
  }

  /** `{ "key": … }`; `value` reads each value. */
  #object(what: string, value: (key: string) => void): void {
    this.#expect("{", what);
    if (this.#take("}")) return;
    do {
      const key = this.#string(`a key of ${what}`);
      this.#expect(":", what);
      value(key);
    } while (this.#take(","));
    this.#expect("}", what);
  }

  #integers(what: string): number[] {
    const integers: number[] = [];
    this.#expect("[", what);
    if (this.#take("]")) return integers;
    do {
      if (integers.length === MAX_RANK) throw this.damaged(`${what} has more than ${MAX_RANK} numbers`);
      integers.push(this.#integer(what));
    } while (this.#take(","));
    this.#expect("]", what);
    return integers;
  }

  #integer(what: string): number {
    this.#skipSpace();
    const start = this.#at;
    while (this.#at < this.text.length && /[-+.0-9A-Za-z]/.test(this.text[this.#at] ?? "")) this.#at++;
    const digits = this.text.slice(start, this.#at);
    const number = Number(digits);
    if (!/^(0|[1-9]\d*)$/.test(digits) || digits.length > MAX_INTEGER_DIGITS || !Number.isSafeInteger(number)) {
      if (start === this.#at) throw this.#unexpected(`in ${what}`);
      throw this.damaged(`${what} has ${digits.slice(0, 40)}, which is not a whole number in range`);
    }
    return number;
  }

  #string(what: string): string {
    this.#skipSpace();
    if (this.text.charCodeAt(this.#at) !== QUOTE) throw this.#unexpected(`where ${what} should be a string`);
    const start = this.#at++;
    for (; this.#at < this.text.length; this.#at++) {
      const code = this.text.charCodeAt(this.#at);
      if (code === BACKSLASH) this.#at++;
      else if (code === QUOTE) return this.#unescape(this.text.slice(start, ++this.#at), what);
    }
    throw this.damaged(`its header is truncated within ${what}`);
  }

  #unescape(quoted: string, what: string): string {
    let value: unknown;
    try {
      value = JSON.parse(quoted);
    } catch {
      throw this.damaged(`${what} is not a valid JSON string`);
    }
    if (typeof value !== "string" || SURROGATE.test(value)) throw this.damaged(`${what} is not valid Unicode`);
    return value;
  }

  #expect(character: string, what: string): void {
    if (!this.#take(character)) throw this.#unexpected(`where ${what} should have ${character}`);
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    while (this.#at < this.text.length && " \t\n\r".includes(this.text[this.#at] ?? "")) this.#at++;
  }

  #unexpected(where: string): GradpoolError {
    const found = this.#at < this.text.length ? JSON.stringify(this.text[this.#at]) : "the end";
    return this.damaged(`its header has ${found} ${where}`);
  }
}
