/** str.format and the mini-language of its format specifications. */
import { TemplateError } from "./errors.js";
import { MAX_DEPTH, type Meter } from "./limits.js";
import { formatFloat, floatText, toPrecision } from "./numbers.js";
import { ascii, repr, str } from "./printing.js";
import { lengthOf, unitOf } from "./python-text.js";
import { Undefined, typeName, type Kwargs, type List, type Runtime, type Value } from "./values.js";

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([_,])?(?:\.(\d+))?([a-zA-Z%])?$/su;

/** format(value, spec). */
export function formatValue(value: Value, spec: string, meter: Meter): string {
  if (spec === "") return str(value, meter);
  const match = SPEC.exec(spec);
  const kind = typeName(value);
  if (!match || !["str", "int", "float", "bool"].includes(kind)) {
    throw new TemplateError(match ? `unsupported format string for ${kind}` : `Invalid format specifier '${spec}'`);
  }
  const [, fill, align, sign = "-", , alternate, zero, width = "0", grouping = "", precision, type = ""] = match;
  const wide = Number(width);
  meter.text(wide);
  if (typeof value === "string") {
    if ((type && type !== "s") || match[3] || grouping) throw new TemplateError(`Invalid format specifier '${spec}'`);
    const text = precision === undefined ? value : value.slice(0, unitOf(value, Number(precision)));
    return meter.made(aligned("", text, wide, fill ?? (zero ? "0" : " "), align ?? "<"));
  }
  const number = numberText(value as number | bigint | boolean, type, precision, alternate === "#", grouping);
  const signText = number.negative ? "-" : sign === "-" ? "" : sign;
  const where = align ?? (zero ? "=" : ">");
  const filler = fill ?? (zero ? "0" : " ");
  const body =
    where === "=" && filler === "0" && grouping
      ? grouped(number.digits, grouping, number.every, wide - signText.length - number.prefix.length)
      : grouped(number.digits, grouping, number.every, 0);
  return meter.made(aligned(signText + number.prefix, body, wide, filler, where));
}

interface NumberText {
  negative: boolean;
  prefix: string;
  digits: string;
  every: number;
}

function numberText(
  value: number | bigint | boolean,
  type: string,
  precision: string | undefined,
  alternate: boolean,
  grouping: string,
): NumberText {
  const digits = toPrecision(BigInt(precision ?? 6));
  if (typeof value !== "number" && (type === "" || "dnbcoxX".includes(type))) {
    if (precision !== undefined) throw new TemplateError("Precision not allowed in integer format specifier");
    const whole = BigInt(value);
    if (type === "c") return { negative: false, prefix: "", digits: String.fromCodePoint(Number(whole)), every: 0 };
    const base = { b: 2, o: 8, x: 16, X: 16 }[type] ?? 10;
    if (base !== 10 && grouping === ",") throw new TemplateError(`Cannot specify ',' with '${type}'.`);
    const text = (whole < 0n ? -whole : whole).toString(base);
    const prefix = alternate && base !== 10 ? `0${type}` : "";
    return {
      negative: whole < 0n,
      prefix,
      digits: type === "X" ? text.toUpperCase() : text,
      every: base === 10 ? 3 : 4,
    };
  }
  const float = Number(value);
  const negative = float < 0 || Object.is(float, -0);
  const done = (text: string): NumberText => ({ negative, prefix: "", digits: text, every: 3 });
  if (type === "%") return done(`${formatFloat(float * 100, "f", digits, alternate)}%`);
  if (type === "" || type === "n") {
    if (precision === undefined && type === "") return done(floatText(Math.abs(float)));
    const text = formatFloat(float, "g", digits, alternate);
    // Without a type a number that is whole keeps one zero, so that it reads as a float.
    return done(type === "" && /^\d+$/.test(text) && text.length < digits ? `${text}.0` : text);
  }
  if (!"eEfFgG".includes(type))
    throw new TemplateError(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
  const text = formatFloat(float, type.toLowerCase(), digits, alternate);
  return done(type < "a" ? text.toUpperCase() : text);
}

/** Digits with a separator every three or four of the whole part, filled up with zeros to `width`. */
function grouped(text: string, separator: string, every: number, width: number): string {
  const whole = /^[\da-fA-F]*/.exec(text)![0];
  const rest = text.slice(whole.length);
  if (!separator || !/\d/.test(text[0] ?? "")) return text;
  const split = (digits: string) => digits.replace(new RegExp(`\\B(?=(?:[^]{${every}})+$)`, "g"), separator);
  let digits = whole;
  while (split(digits).length + rest.length < width) digits = `0${digits}`;
  return split(digits) + rest;
}

function aligned(sign: string, body: string, width: number, fill: string, align: string): string {
  const missing = Math.max(0, width - lengthOf(sign) - lengthOf(body));
  const before = align === "<" || align === "=" ? 0 : align === ">" ? missing : missing >> 1;
  if (align === "=") return sign + fill.repeat(missing) + body;
  return fill.repeat(before) + sign + body + fill.repeat(missing - before);
}

/** text.format(*args, **kwargs). */
export function formatText(text: string, args: List, kwargs: Kwargs, runtime: Runtime, depth = 0): string {
  const { meter } = runtime;
  if (depth > 2 || depth > MAX_DEPTH) throw new TemplateError("Max string recursion exceeded");
  let automatic = 0;
  let result = "";
  for (let at = 0; at < text.length;) {
    const found = /[{}]/.exec(text.slice(at));
    if (!found) return meter.made(result + text.slice(at));
    const place = at + found.index;
    result += text.slice(at, place);
    if (text[place + 1] === text[place]) {
      result += text[place]!;
      at = place + 2;
      continue;
    }
    if (text[place] === "}") throw new TemplateError("Single '}' encountered in format string");
    const end = closing(text, place);
    const field = fieldOf(text.slice(place + 1, end));
    const name = /^[^.[]*/.exec(field.name)![0];
    let value: Value | undefined;
    if (name === "") value = args[automatic++];
    else value = /^\d+$/.test(name) ? args[Number(name)] : kwargs.get(name);
    if (value === undefined) {
      throw new TemplateError(
        /^\d*$/.test(name) ? "Replacement index out of range for positional args tuple" : `no key '${name}' to format`,
      );
    }
    value = followed(value, field.name.slice(name.length), runtime);
    if (field.conversion) value = { r: repr, s: str, a: ascii }[field.conversion]!(value, meter);
    const nested = field.spec.includes("{");
    // Fields in a specification are numbered on from those before.
    const spec = nested
      ? formatText(field.spec, args.slice(name === "" ? automatic : 0), kwargs, runtime, depth + 1)
      : field.spec;
    if (nested && name === "") automatic += (field.spec.match(/\{\}/g) ?? []).length;
    result += formatValue(value, spec, meter);
    at = end + 1;
  }
  return meter.made(result);
}

function closing(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at;
  }
  throw new TemplateError("expected '}' before end of string");
}

function fieldOf(field: string): { name: string; conversion: string | undefined; spec: string } {
  const match = /^((?:[^![:]|\[[^\]]*\])*)(?:!(.))?(?::(.*))?$/s.exec(field);
  if (!match || (match[2] && !"rsa".includes(match[2])))
    throw new TemplateError(`'{${field}}' is not a replacement field`);
  return { name: match[1]!, conversion: match[2], spec: match[3] ?? "" };
}

/** The attributes and items that a field's name has after its first part: .name or [key]. */
function followed(start: Value, path: string, runtime: Runtime): Value {
  let value = start;
  for (const step of path.matchAll(/\.([^.[]+)|\[([^\]]+)\]|([^])/g)) {
    if (step[3] !== undefined) throw new TemplateError("Only '.' or '[' may follow ']' in format field specifier");
    runtime.meter.step();
    const key = step[2];
    value =
      step[1] !== undefined
        ? runtime.attributeOf(value, step[1])
        : runtime.itemOf(value, /^\d+$/.test(key!) ? BigInt(key!) : key!);
    if (value instanceof Undefined) throw value.fail();
  }
  return value;
}
