/** text % values, as Python's printf-style formatting. */
import { TemplateError } from "./errors.js";
import { type Meter } from "./limits.js";
import { formatFloat, toPrecision } from "./numbers.js";
import { ascii, repr, str } from "./printing.js";
import { lengthOf, unitOf } from "./python-text.js";
import { Dict, Tuple, typeName, type Value } from "./values.js";

const BASES: Record<string, number> = { x: 16, X: 16, o: 8 };
const DIRECTIVE = /%(?:\(([^)]*)\))?([#0\- +]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([^])/gu;

export function formatPercent(text: string, values: Value, meter: Meter): string {
  const arguments_ = values instanceof Tuple ? [...values.items] : [values];
  const mapping = values instanceof Dict ? values : undefined;
  let used = 0;
  let named = false;
  const next = (): Value => {
    if (used >= arguments_.length) throw new TemplateError("not enough arguments for format string");
    return arguments_[used++]!;
  };
  const starred = (size: string | undefined): bigint | undefined => {
    if (size !== "*") return size === undefined ? undefined : BigInt(size || 0);
    const value = next();
    if (typeof value === "bigint") return value;
    throw new TemplateError("* wants int");
  };
  const checked = text.replace(DIRECTIVE, "");
  if (checked.includes("%")) throw new TemplateError("incomplete format");
  const result = text.replace(DIRECTIVE, (...match: string[]) => {
    const [, key, flags, width, precision, kind] = match as [
      string,
      string | undefined,
      string,
      string?,
      string?,
      string?,
    ];
    const size = starred(width);
    const digits = starred(precision);
    if (kind === "%") return "%";
    let value: Value;
    if (key !== undefined) {
      if (!mapping) throw new TemplateError("format requires a mapping");
      const found = mapping.get(key);
      if (found === undefined) throw new TemplateError(`no key '${key}' to format`);
      value = found;
      named = true;
    } else value = next();
    const left = flags.includes("-") || (size ?? 0n) < 0n;
    const wide = Number(size === undefined ? 0n : size < 0n ? -size : size);
    meter.text(wide);
    return padded(directive(value, kind!, flags, digits, meter), wide, left, flags.includes("0") && !left);
  });
  if (used < arguments_.length && !named && !mapping && !(used === 0 && Array.isArray(values))) {
    throw new TemplateError("not all arguments converted during string formatting");
  }
  return meter.made(result);
}

interface Formatted {
  sign: string;
  body: string;
  isNumber: boolean;
}

function directive(value: Value, kind: string, flags: string, digits: bigint | undefined, meter: Meter): Formatted {
  const cut = (text: string): Formatted => ({
    sign: "",
    body: digits === undefined ? text : text.slice(0, unitOf(text, Number(digits))),
    isNumber: false,
  });
  const signed = (negative: boolean, body: string): Formatted => ({
    sign: negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "",
    body,
    isNumber: true,
  });
  switch (kind) {
    case "s":
      return cut(str(value, meter));
    case "r":
      return cut(repr(value, meter));
    case "a":
      return cut(ascii(value, meter));
    case "c":
      if (typeof value === "string" && lengthOf(value) === 1) return cut(value);
      if (typeof value === "bigint" && value >= 0n && value < 0x110000n)
        return cut(String.fromCodePoint(Number(value)));
      throw new TemplateError("%c requires int or char");
    case "d":
    case "i":
    case "u":
    case "x":
    case "X":
    case "o": {
      const whole = integerOf(value, kind);
      const base = BASES[kind] ?? 10;
      const prefix = flags.includes("#") && base !== 10 ? `0${kind}` : "";
      const text = (whole < 0n ? -whole : whole).toString(base).padStart(toPrecision(digits ?? 0n), "0");
      return signed(whole < 0n, prefix + (kind === "X" ? text.toUpperCase() : text));
    }
    case "f":
    case "F":
    case "e":
    case "E":
    case "g":
    case "G": {
      if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean") {
        throw new TemplateError(`must be real number, not ${typeName(value)}`);
      }
      const float = Number(value);
      const text = formatFloat(float, kind.toLowerCase(), toPrecision(digits ?? 6n), flags.includes("#"));
      return signed(float < 0 || Object.is(float, -0), kind < "a" ? text.toUpperCase() : text);
    }
  }
  throw new TemplateError(`unsupported format character '${kind}'`);
}

function integerOf(value: Value, kind: string): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "boolean") return BigInt(value);
  if (typeof value === "number" && "diu".includes(kind) && Number.isFinite(value)) return BigInt(Math.trunc(value));
  throw new TemplateError(`%${kind} format: a number is required, not ${typeName(value)}`);
}

function padded({ sign, body, isNumber }: Formatted, width: number, left: boolean, zeros: boolean): string {
  const missing = Math.max(0, width - lengthOf(sign + body));
  if (left) return sign + body + " ".repeat(missing);
  if (zeros && isNumber && /\d/.test(body)) {
    const prefix = /^0[xXo]/.exec(body)?.[0] ?? "";
    return sign + prefix + "0".repeat(missing) + body.slice(prefix.length);
  }
  return " ".repeat(missing) + sign + body;
}
