/**
 * The values of templates: Python's, in JavaScript. int is bigint and float is number, so that 1 and 1.0 stay apart and
 * integers are exact; None is null; list is an array; everything else that a template can hold is a class here.
 */
import { TemplateError } from "./errors.js";
import type { Meter } from "./limits.js";

export type Value = null | boolean | bigint | number | string | List | Thing;
export type List = Value[];

/** A value of one of Python's or Jinja2's own classes. */
export abstract class Thing {
  /** What Python's type(value).__name__ is. */
  abstract readonly typeName: string;
}

/** Jinja2's Undefined: prints as nothing, has no items, and refuses everything else. */
export class Undefined extends Thing {
  readonly typeName = "Undefined";
  readonly #hint: () => string;

  constructor(hint: () => string) {
    super();
    this.#hint = hint;
  }

  static named(name: string): Undefined {
    return new Undefined(() => `'${name}' is undefined`);
  }

  fail(): TemplateError {
    return new TemplateError(this.#hint());
  }
}

export class Tuple extends Thing {
  readonly typeName = "tuple";

  /** `names` are attributes for its items, as a named tuple has them. */
  constructor(
    readonly items: List,
    readonly names: readonly string[] = [],
  ) {
    super();
  }
}

/** A dict, in the order of insertion; keys that Python takes for equal (1, 1.0, True) are one key. */
export class Dict extends Thing {
  readonly typeName = "dict";
  readonly #entries = new Map<unknown, [key: Value, value: Value]>();
  /** Which of the caller's objects it is: see Template.render's `pieces`. */
  tag: number | undefined;

  static of(entries: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of entries) dict.set(key, value);
    return dict;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashKey(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(hashKey(key));
  }

  set(key: Value, value: Value): void {
    const hash = hashKey(key);
    const entry = this.#entries.get(hash);
    if (entry) entry[1] = value;
    else this.#entries.set(hash, [key, value]);
  }

  *keys(): Generator<Value> {
    for (const [key] of this.#entries.values()) yield key;
  }

  *values(): Generator<Value> {
    for (const [, value] of this.#entries.values()) yield value;
  }

  entries(): IterableIterator<[Value, Value]> {
    return this.#entries.values();
  }
}

/** What dict.keys(), values() and items() give. */
export class DictView extends Thing {
  constructor(
    readonly typeName: "dict_keys" | "dict_values" | "dict_items",
    readonly dict: Dict,
  ) {
    super();
  }

  *[Symbol.iterator](): Generator<Value> {
    for (const [key, value] of this.dict.entries()) {
      if (this.typeName === "dict_items") yield new Tuple([key, value]);
      else yield this.typeName === "dict_keys" ? key : value;
    }
  }
}

/** What can be gone through once: a generator of Python's. */
export class Iter extends Thing {
  constructor(
    readonly items: Iterator<Value>,
    readonly typeName = "generator",
  ) {
    super();
  }

  *[Symbol.iterator](): Generator<Value> {
    for (let next = this.items.next(); !next.done; next = this.items.next()) yield next.value;
  }
}

export class Range extends Thing {
  readonly typeName = "range";
  readonly length: number;

  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly step: bigint,
  ) {
    super();
    const [distance, stride] = step > 0n ? [stop - start, step] : [start - stop, -step];
    this.length = distance > 0n ? Number((distance + stride - 1n) / stride) : 0;
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }

  *[Symbol.iterator](): Generator<Value> {
    for (let index = 0; index < this.length; index++) yield this.at(index);
  }
}

/** Jinja2's namespace(): the one thing that a template may change. */
export class Namespace extends Thing {
  readonly typeName = "Namespace";
  readonly attributes = new Map<string, Value>();
}

export type Kwargs = Map<string, Value>;

/** What functions, methods, filters and tests may ask of the rendering that calls them. */
export interface Runtime {
  readonly meter: Meter;
  /** value.name */
  attributeOf(value: Value, name: string): Value;
  /** value[key] */
  itemOf(value: Value, key: Value): Value;
  filterNamed(name: Value): Filter | undefined;
}

export type Filter = (input: Value, args: List, kwargs: Kwargs, runtime: Runtime) => Value;

/** What can be called. */
export class Callable extends Thing {
  readonly typeName: string = "function";

  constructor(
    readonly name: string,
    readonly call: (args: List, kwargs: Kwargs, runtime: Runtime) => Value,
  ) {
    super();
  }
}

/** A thing with attributes of its own, such as `loop`. */
export abstract class WithAttributes extends Callable {
  abstract attribute(name: string): Value | undefined;
}

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return "list";
  switch (typeof value) {
    case "string":
      return "str";
    case "bigint":
      return "int";
    case "number":
      return "float";
    case "boolean":
      return "bool";
    default:
      return (value as Thing).typeName;
  }
}

export function isNumber(value: Value): value is boolean | bigint | number {
  return typeof value === "bigint" || typeof value === "number" || typeof value === "boolean";
}

/** bool(value). */
export function truthy(value: Value): boolean {
  if (typeof value === "object" && value !== null) {
    if (Array.isArray(value)) return value.length > 0;
    if (value instanceof Undefined) return false;
    if (value instanceof Dict) return value.size > 0;
    if (value instanceof DictView) return value.dict.size > 0;
    if (value instanceof Tuple) return value.items.length > 0;
    return value instanceof Range ? value.length > 0 : true;
  }
  return Boolean(value);
}

/** A key for a Map that is the same for what Python's hash and == take for the same. Errors: for what has no hash. */
export function hashKey(value: Value): unknown {
  switch (typeof value) {
    case "string":
      // Apart from the keys that tuples have.
      return value.startsWith("\0") ? `\0${value}` : value;
    case "boolean":
      return value ? 1n : 0n;
    case "number":
      return Number.isInteger(value) ? BigInt(value) : value;
    case "bigint":
      return value;
    default:
      if (value instanceof Tuple) return `\0(${value.items.map(tuplePart).join()}`;
      if (Array.isArray(value) || value instanceof Dict)
        throw new TemplateError(`unhashable type: '${typeName(value)}'`);
      return value instanceof Undefined ? Undefined : value;
  }
}

function tuplePart(value: Value): string {
  const key = hashKey(value);
  if (typeof key === "object" && key !== null)
    throw new TemplateError(`a ${typeName(value)} cannot be a part of a key`);
  return typeof key === "string" ? JSON.stringify(key) : String(key);
}

/** A float that is whole, such as JSON's 1.0, which a JavaScript number does not tell from an int. */
export class Float {
  constructor(readonly value: number) {}
}

/** What JSON holds, as Python reads it; numbers that are whole are int. Errors: for what JSON does not hold. */
export function fromJson(value: unknown): Value {
  if (value === null || typeof value === "boolean" || typeof value === "string" || typeof value === "bigint")
    return value;
  if (typeof value === "number") return Number.isInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
  if (value instanceof Float) return value.value;
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== "object") throw new TypeError(`a template cannot take a ${typeof value}`);
  return Dict.of(Object.entries(value).map(([key, item]) => [key, fromJson(item)]));
}
