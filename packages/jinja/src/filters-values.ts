/** Filters of single values. */
import { indexArgument, textArgument } from "./arguments.js";
import { attributeAlone } from "./attributes.js";
import { TemplateError } from "./errors.js";
import { filtersOf } from "./filter-definitions.js";
import { toJson } from "./json.js";
import { divideToEven, formatFloat, parseFloatText, parseInteger, roundFloat } from "./numbers.js";
import { iterate, negate, refuseUndefined } from "./operations.js";
import { repr, str } from "./printing.js";
import { strip } from "./python-text.js";
import { isNumber, truthy, typeName, Undefined, type Value } from "./values.js";

export const valueFilters = filtersOf({
  "default, d(default_value='', boolean=False)": (input, { values }) => {
    return input instanceof Undefined || (truthy(values[1]!) && !truthy(input)) ? values[0]! : input;
  },
  "abs()": (input) => {
    refuseUndefined(input);
    if (!isNumber(input)) throw new TemplateError(`bad operand type for abs(): '${typeName(input)}'`);
    if (typeof input === "boolean") return BigInt(input);
    return input < 0 || Object.is(input, -0) ? negate(input) : input;
  },
  "int(default=0, base=10)": (input, { values }) => toInteger(input, indexArgument(values[1]!)) ?? values[0]!,
  "float(default=None)": (input, { values }) => toFloat(input) ?? values[0] ?? 0,
  "round(precision=0, method='common')": (input, { values }) => round(input, values[0]!, values[1]!),
  "string()": (input, { runtime: { meter } }) => str(input, meter),
  "attr(name)": (input, { values }) => attributeAlone(input, textArgument(values[0]!, "attribute name")),
  "pprint()": (input, { runtime: { meter } }) => {
    const text = repr(input, meter);
    if (text.length > 80) throw new TemplateError("pprint of more than a line is not supported");
    return text;
  },
  "filesizeformat(binary=False)": (input, { values }) => fileSize(toFloat(input), truthy(values[0]!)),
  "tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)": (
    input,
    { values, runtime: { meter } },
  ) => {
    const [ensureAscii, indent, separators, sortKeys] = values as [Value, Value, Value, Value];
    const [item, key] = separators === null ? [indent === null ? ", " : ",", ": "] : [...iterate(separators)];
    const width = indent === null ? undefined : typeof indent === "string" ? indent : indentOf(indexArgument(indent));
    meter.text(width?.length ?? 0);
    const options = {
      ensureAscii: truthy(ensureAscii),
      indent: width,
      itemSeparator: textArgument(item!, "separator"),
      keySeparator: textArgument(key!, "separator"),
      sortKeys: truthy(sortKeys),
    };
    return toJson(input, options, meter);
  },
});

function indentOf(width: number): string {
  if (width > 1000) throw new TemplateError("an indent of more than 1000");
  return " ".repeat(Math.max(0, width));
}

function toInteger(input: Value, base: number): bigint | undefined {
  refuseUndefined(input);
  if (typeof input === "bigint") return input;
  if (typeof input === "boolean") return BigInt(input);
  if (typeof input === "number") {
    if (!Number.isFinite(input)) {
      if (Number.isNaN(input)) return undefined;
      throw new TemplateError("cannot convert float infinity to integer");
    }
    return BigInt(Math.trunc(input));
  }
  if (typeof input !== "string") return undefined;
  const text = strip(input, undefined, true, true);
  const whole = parseInteger(text, base);
  if (whole !== undefined) return whole;
  const float = parseFloatText(text);
  return float !== undefined && Number.isFinite(float) ? BigInt(Math.trunc(float)) : undefined;
}

function toFloat(input: Value): number | undefined {
  refuseUndefined(input);
  if (isNumber(input)) return Number(input);
  return typeof input === "string" ? parseFloatText(strip(input, undefined, true, true)) : undefined;
}

function round(input: Value, precision: Value, method: Value): Value {
  refuseUndefined(input);
  if (!isNumber(input)) throw new TemplateError(`type ${typeName(input)} doesn't define __round__ method`);
  const digits = indexArgument(precision);
  if (method !== "common" && method !== "ceil" && method !== "floor") {
    throw new TemplateError("method must be common, ceil or floor");
  }
  const whole = typeof input === "boolean" ? BigInt(input) : input;
  if (method !== "common") {
    const scale = 10 ** digits;
    const scaled = Number(whole) * scale;
    return Math[method](scaled) / scale;
  }
  if (typeof whole === "number") return roundFloat(whole, digits);
  if (digits >= 0) return whole;
  if (digits < -1000) return 0n;
  const unit = 10n ** BigInt(-digits);
  const size = divideToEven(whole < 0n ? -whole : whole, unit) * unit;
  return whole < 0n ? -size : size;
}

function fileSize(bytes: number | undefined, binary: boolean): string {
  if (bytes === undefined) throw new TemplateError("could not convert to float");
  const base = binary ? 1024 : 1000;
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const prefixes = Array.from("kMGTPEZY", (letter) => (binary ? `${letter.toUpperCase()}iB` : `${letter}B`));
  let unit = base;
  for (const [index, prefix] of prefixes.entries()) {
    unit *= base;
    if (bytes < unit || index === prefixes.length - 1)
      return `${formatFloat((base * bytes) / unit, "f", 1, false)} ${prefix}`;
  }
  throw new Error("no prefix");
}
