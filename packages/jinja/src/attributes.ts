/** value.name, value[key] and value[start:stop:step], as Jinja2's sandbox finds them. */
import { indexArgument } from "./arguments.js";
import { CONTAINER_METHODS, MUTATING } from "./container-methods.js";
import { TemplateError } from "./errors.js";
import type { Meter } from "./limits.js";
import type { Method } from "./native.js";
import { hasSurrogates, lengthOf, unitOf } from "./python-text.js";
import { sizeOf } from "./operations.js";
import { STRING_METHODS } from "./string-methods.js";
import {
  Callable,
  Dict,
  Namespace,
  Range,
  Tuple,
  typeName,
  Undefined,
  WithAttributes,
  type List,
  type Thing,
  type Value,
} from "./values.js";

/** value.name: an attribute, else an item of that name. */
export function attributeOf(value: Value, name: string): Value {
  if (value instanceof Undefined) throw value.fail();
  const own = ownAttribute(value, name);
  if (own !== undefined) return own;
  if (value instanceof Dict) {
    const item = value.get(name);
    if (item !== undefined) return item;
  }
  return missing(value, name);
}

/** value[key]: an item, else an attribute of that name. */
export function itemOf(value: Value, key: Value, meter: Meter): Value {
  if (value instanceof Undefined) throw value.fail();
  const item = ownItem(value, key, meter);
  if (item !== undefined) return item;
  if (typeof key === "string") {
    const own = ownAttribute(value, key);
    if (own !== undefined) return own;
  }
  return missing(value, key);
}

/** getattr(value, name): an attribute alone. */
export function attributeAlone(value: Value, name: string): Value {
  if (value instanceof Undefined) throw value.fail();
  return ownAttribute(value, name) ?? missing(value, name);
}

function ownAttribute(value: Value, name: string): Value | undefined {
  if (name.startsWith("_")) return unsafe(value, name);
  const method = methodOf(value, name);
  if (method) {
    return new Callable(name, (args, kwargs, runtime) =>
      method.run(value as never, method.bind(args, kwargs, runtime)),
    );
  }
  if (value instanceof Tuple && value.names.includes(name)) return value.items[value.names.indexOf(name)];
  if (value instanceof Namespace) return value.attributes.get(name);
  if (value instanceof WithAttributes) return value.attribute(name);
  if (value instanceof Range && ["start", "stop", "step"].includes(name))
    return value[name as "start" | "stop" | "step"];
  if (MUTATING[typeName(value)]?.includes(name)) return unsafe(value, name);
  if (typeof value === "bigint" || typeof value === "boolean" || typeof value === "number")
    return ofNumber(value, name);
  return undefined;
}

function ofNumber(value: bigint | boolean | number, name: string): Value | undefined {
  const whole = typeof value === "boolean" ? BigInt(value) : value;
  if (name === "real") return whole;
  if (name === "imag") return typeof whole === "number" ? 0 : 0n;
  if (typeof whole === "bigint" && name === "numerator") return whole;
  if (typeof whole === "bigint" && name === "denominator") return 1n;
  return undefined;
}

export function methodOf(value: Value, name: string): Method | undefined {
  if (typeof value === "string") return STRING_METHODS.get(name);
  return CONTAINER_METHODS[typeName(value)]?.get(name);
}

function unsafe(value: Value, name: string): Undefined {
  return new Undefined(() => `access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
}

function missing(value: Value, key: Value): Undefined {
  return new Undefined(() =>
    typeof key === "string"
      ? `'${typeName(value)} object' has no attribute '${key}'`
      : `${typeName(value)} object has no element ${String(key as Exclude<Value, Thing>)}`,
  );
}

function ownItem(value: Value, key: Value, meter: Meter): Value | undefined {
  if (value instanceof Dict) {
    const hashable = !Array.isArray(key) && !(key instanceof Dict);
    return hashable ? value.get(key) : undefined;
  }
  if (typeof key !== "bigint" && typeof key !== "boolean") return undefined;
  const index = indexArgument(key);
  if (typeof value === "string") {
    if (!hasSurrogates(value)) return value[index < 0 ? index + value.length : index];
    meter.read(value.length);
    const length = lengthOf(value);
    const place = index < 0 ? index + length : index;
    if (place < 0 || place >= length) return undefined;
    return String.fromCodePoint(value.codePointAt(unitOf(value, place))!);
  }
  if (Array.isArray(value)) return value[index < 0 ? index + value.length : index];
  if (value instanceof Tuple) return value.items[index < 0 ? index + value.items.length : index];
  if (value instanceof Range) {
    const place = index < 0 ? index + value.length : index;
    return place >= 0 && place < value.length ? value.at(place) : undefined;
  }
  return undefined;
}

/** value[start:stop:step]; None where a part is left out. */
export function sliceOf(value: Value, start: Value, stop: Value, step: Value, meter: Meter): Value {
  if (value instanceof Undefined) throw value.fail();
  const isSequence =
    typeof value === "string" || Array.isArray(value) || value instanceof Tuple || value instanceof Range;
  if (!isSequence) return missing(value, "slice");
  const stride = step === null ? 1 : sliceIndex(step);
  if (stride === 0) throw new TemplateError("slice step cannot be zero");
  const length = sizeOf(value);
  const [from, to] = sliceBounds(start, stop, stride, length);
  const count = Math.max(0, Math.ceil((to - from) / stride));
  if (value instanceof Range) {
    return new Range(
      value.at(from),
      value.at(from) + BigInt(count) * value.step * BigInt(stride),
      value.step * BigInt(stride),
    );
  }
  if (typeof value === "string") return textSlice(value, from, count, stride, meter);
  meter.step(count);
  const items = Array.isArray(value) ? value : value.items;
  const list: List =
    stride === 1
      ? items.slice(from, from + count)
      : Array.from({ length: count }, (_, at) => items[from + at * stride]!);
  return Array.isArray(value) ? list : new Tuple(list);
}

function textSlice(text: string, from: number, count: number, stride: number, meter: Meter): string {
  if (stride === 1 && !hasSurrogates(text)) return text.slice(from, from + count);
  meter.text(text.length);
  if (stride === 1) return text.slice(unitOf(text, from), unitOf(text, from + count));
  const characters = [...text];
  return Array.from({ length: count }, (_, at) => characters[from + at * stride]).join("");
}

function sliceIndex(value: Value): number {
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  throw new TemplateError("slice indices must be integers or None or have an __index__ method");
}

function sliceBounds(start: Value, stop: Value, stride: number, length: number): [number, number] {
  const [lowest, highest] = stride > 0 ? [0, length] : [-1, length - 1];
  const place = (value: Value, otherwise: number) => {
    if (value === null) return otherwise;
    const index = sliceIndex(value);
    return Math.max(lowest, Math.min(highest, index < 0 ? index + length : index));
  };
  return stride > 0 ? [place(start, lowest), place(stop, highest)] : [place(start, highest), place(stop, lowest)];
}
