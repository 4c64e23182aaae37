/** Checks of arguments' types. Errors: TemplateError in Python's words. */
import { TemplateError } from "./errors.js";
import { typeName, Undefined, type Value } from "./values.js";

export function textArgument(value: Value, what: string): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) throw value.fail();
  throw new TemplateError(`${what} must be str, not ${typeName(value)}`);
}

export function optionalText(value: Value, what: string): string | undefined {
  return value === null ? undefined : textArgument(value, what);
}

/** An index or a count; what is beyond any length is cut to it. */
export function indexArgument(value: Value): number {
  if (typeof value === "boolean") return Number(value);
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Undefined) throw value.fail();
  throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** start and end of str.find, count and their like, as code points within `length`. */
export function boundsOf(start: Value, end: Value, length: number): [number, number] {
  const place = (value: Value, otherwise: number) => {
    if (value === null) return otherwise;
    const index = indexArgument(value);
    return Math.max(0, Math.min(length, index < 0 ? index + length : index));
  };
  return [place(start, 0), place(end, length)];
}
