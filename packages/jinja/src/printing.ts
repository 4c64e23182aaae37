/** str() and repr(). */
import { MAX_DEPTH, tooDeep, type Meter } from "./limits.js";
import { floatText } from "./numbers.js";
import { NOT_PRINTABLE } from "./python-text.js";
import { Callable, Dict, DictView, Iter, Namespace, Range, Tuple, Undefined, type Value } from "./values.js";

/** str(value). */
export function str(value: Value, meter: Meter): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) return "";
  return repr(value, meter);
}

export function repr(value: Value, meter: Meter, depth = 0): string {
  if (depth > MAX_DEPTH) throw tooDeep();
  const inner = (item: Value) => repr(item, meter, depth + 1);
  const listed = (items: Iterable<Value>) => Array.from(items, inner).join(", ");
  if (typeof value === "string") return meter.made(textRepr(value));
  if (typeof value === "bigint") return meter.made(String(value));
  if (typeof value === "number") return floatText(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  meter.step();
  if (value === null) return "None";
  if (Array.isArray(value)) return meter.made(`[${listed(value)}]`);
  if (value instanceof Tuple) return meter.made(`(${listed(value.items)}${value.items.length === 1 ? "," : ""})`);
  if (value instanceof Dict) return meter.made(dictRepr(value.entries(), inner));
  if (value instanceof DictView) return meter.made(`${value.typeName}([${listed(value)}])`);
  if (value instanceof Range) {
    return `range(${value.start}, ${value.stop}${value.step === 1n ? "" : `, ${value.step}`})`;
  }
  if (value instanceof Namespace) return meter.made(`<Namespace ${dictRepr(value.attributes, inner)}>`);
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Iter) return `<${value.typeName} object>`;
  if (value instanceof Callable && value.typeName === "Macro") return `<Macro ${textRepr(value.name)}>`;
  return `<${value.typeName}>`;
}

function dictRepr(entries: Iterable<readonly [Value, Value]>, inner: (item: Value) => string): string {
  return `{${Array.from(entries, ([key, item]) => `${inner(key)}: ${inner(item)}`).join(", ")}}`;
}

function textRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  if (!/[\\'"]/.test(text) && !NOT_PRINTABLE.test(text)) return quote + text + quote;
  let result = quote;
  for (const character of text) {
    if (character === quote || character === "\\") result += `\\${character}`;
    else result += NOT_PRINTABLE.test(character) ? escaped(character) : character;
  }
  return result + quote;
}

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escaped(character: string): string {
  const code = character.codePointAt(0)!;
  const hex = code.toString(16);
  if (SHORT[character]) return SHORT[character];
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** ascii(value): repr with everything beyond ASCII escaped. */
export function ascii(value: Value, meter: Meter): string {
  return meter.made(repr(value, meter).replace(/[^\0-\x7f]/gu, escaped));
}
