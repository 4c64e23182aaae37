/** json.dumps, which transformers puts in the place of Jinja2's tojson. */
import { TemplateError } from "./errors.js";
import { MAX_DEPTH, tooDeep, type Meter } from "./limits.js";
import { floatText } from "./numbers.js";
import { compare } from "./operations.js";
import { Dict, Tuple, typeName, type Value } from "./values.js";

export interface JsonOptions {
  ensureAscii: boolean;
  /** What a level is indented by; undefined: all on one line. */
  indent: string | undefined;
  itemSeparator: string;
  keySeparator: string;
  sortKeys: boolean;
}

export function toJson(value: Value, options: JsonOptions, meter: Meter): string {
  return meter.made(new JsonWriter(options, meter).write(value, 0));
}

const ESCAPED = /["\\\0-\x1f]/g;

const ESCAPED_TO_ASCII = /["\\\0-\x1f]|[^\0-\x7f]/g;
const SHORT: Record<string, string> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

class JsonWriter {
  readonly #options: JsonOptions;
  readonly #meter: Meter;

  constructor(options: JsonOptions, meter: Meter) {
    this.#options = options;
    this.#meter = meter;
  }

  write(value: Value, depth: number): string {
    if (depth > MAX_DEPTH) throw tooDeep();
    this.#meter.step();
    if (typeof value === "string") return this.#text(value);
    if (typeof value === "boolean" || typeof value === "bigint") return String(value);
    if (typeof value === "number") return number(value);
    if (value === null) return "null";
    if (Array.isArray(value)) return this.#items("[", "]", value, depth, (item) => this.write(item, depth + 1));
    if (value instanceof Tuple) return this.#items("[", "]", value.items, depth, (item) => this.write(item, depth + 1));
    if (!(value instanceof Dict)) throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`);
    const entries = [...value.entries()];
    if (this.#options.sortKeys) entries.sort(([one], [other]) => compare(one, other, "<", this.#meter));
    return this.#items("{", "}", entries, depth, ([key, item]) => {
      return this.#text(keyText(key)) + this.#options.keySeparator + this.write(item, depth + 1);
    });
  }

  #items<T>(open: string, close: string, items: readonly T[], depth: number, write: (item: T) => string): string {
    if (items.length === 0) return open + close;
    const { indent, itemSeparator } = this.#options;
    if (indent === undefined) return open + items.map(write).join(itemSeparator) + close;
    this.#meter.text(indent.length * (depth + 1) * items.length);
    const line = `\n${indent.repeat(depth + 1)}`;
    return open + line + items.map(write).join(itemSeparator + line) + `\n${indent.repeat(depth)}${close}`;
  }

  #text(text: string): string {
    this.#meter.read(text.length);
    return `"${text.replace(this.#options.ensureAscii ? ESCAPED_TO_ASCII : ESCAPED, escaped)}"`;
  }
}

function escaped(unit: string): string {
  return SHORT[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

function number(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? floatText(value) : value > 0 ? "Infinity" : "-Infinity";
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (key === null) return "null";
  if (typeof key === "boolean") return key ? "true" : "false";
  if (typeof key === "bigint") return String(key);
  if (typeof key === "number") return number(key);
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}
