/** Filters of lists and dicts. */
import { indexArgument } from "./arguments.js";
import { itemOf } from "./attributes.js";
import { TemplateError } from "./errors.js";
import { filtersOf } from "./filter-definitions.js";
import type { Bound } from "./native.js";
import { arithmetic, compare, equals, iterate, listOf, sizeOf } from "./operations.js";
import { str } from "./printing.js";
import { hasSurrogates } from "./python-text.js";
import {
  Dict,
  hashKey,
  Iter,
  truthy,
  Tuple,
  typeName,
  Undefined,
  DictView,
  type List,
  type Value,
  type Runtime,
} from "./values.js";

export const collectionFilters = filtersOf({
  "length, count()": (input, { runtime: { meter } }) => {
    if (typeof input === "string") meter.read(input.length);
    return BigInt(sizeOf(input));
  },
  "list()": (input, { runtime: { meter } }) => listOf(input, meter),
  "first()": (input) => {
    for (const item of iterate(input)) return item;
    return new Undefined(() => "No first item, sequence was empty.");
  },
  "last()": (input, { runtime: { meter } }) => {
    if (input instanceof Iter) {
      throw new TemplateError(`'${typeName(input)}' object is not reversible`);
    }
    return (
      listOf(input, meter).at(-1) ??
      (sizeOf(input) > 0 ? null : new Undefined(() => "No last item, sequence was empty."))
    );
  },
  "items()": (input) => {
    if (input instanceof Undefined) return new Iter([][Symbol.iterator]());
    if (!(input instanceof Dict)) throw new TemplateError("Can only get item pairs from a mapping.");
    return new Iter(new DictView("dict_items", input)[Symbol.iterator]());
  },
  "join(d='', attribute=None)": (input, { values, runtime }) => {
    const get = getter(values[1]!, runtime);
    const { meter } = runtime;
    const texts: string[] = [];
    for (const item of iterate(input)) {
      meter.step();
      texts.push(str(get(item), meter));
    }
    const separator = str(values[0]!, meter);
    meter.text(texts.reduce((sum, text) => sum + text.length + separator.length, 0));
    return texts.join(separator);
  },
  "reverse()": (input, { runtime: { meter } }) => {
    if (typeof input === "string") {
      meter.text(input.length);
      return (hasSurrogates(input) ? [...input] : input.split("")).reverse().join("");
    }
    if (input instanceof Iter) return listOf(input, meter).reverse();
    return new Iter(listOf(input, meter).reverse()[Symbol.iterator](), `${typeName(input)}_reverseiterator`);
  },
  "sort(reverse=False, case_sensitive=False, attribute=None)": (input, { values, runtime }) => {
    const keysOf = manyGetter(values[2]!, truthy(values[1]!), runtime);
    return sorted(listOf(input, runtime.meter), keysOf, truthy(values[0]!), runtime);
  },
  "dictsort(case_sensitive=False, by='key', reverse=False)": (input, { values, runtime }) => {
    if (!(input instanceof Dict)) throw new TemplateError(`'${typeName(input)}' object has no attribute 'items'`);
    const [caseSensitive, by, reverse] = values as [Value, Value, Value];
    if (by !== "key" && by !== "value") throw new TemplateError('You can only sort by either "key" or "value"');
    const fold = folded(truthy(caseSensitive));
    const entries = Array.from(input.entries(), ([key, value]) => new Tuple([key, value]));
    return sorted(entries, (entry) => [fold((entry as Tuple).items[by === "key" ? 0 : 1]!)], truthy(reverse), runtime);
  },
  "min(case_sensitive=False, attribute=None)": (input, bound) => extreme(input, bound, -1),
  "max(case_sensitive=False, attribute=None)": (input, bound) => extreme(input, bound, 1),
  "sum(attribute=None, start=0)": (input, { values, runtime }) => {
    const get = getter(values[0]!, runtime);
    if (typeof values[1] === "string") throw new TemplateError("sum() can't sum strings [use ''.join(seq) instead]");
    let sum: Value = values[1]!;
    for (const item of iterate(input)) sum = arithmetic("+", sum, get(item), runtime.meter);
    return sum;
  },
  "unique(case_sensitive=False, attribute=None)": (input, { values, runtime }) => {
    const get = getter(values[1]!, runtime);
    return new Iter(unique(input, (item) => folded(truthy(values[0]!))(get(item)), runtime));
  },
  "batch(linecount, fill_with=None)": (input, { values, runtime }) => {
    return new Iter(batches(input, indexArgument(values[0]!), values[1]!, runtime));
  },
  "slice(slices, fill_with=None)": (input, { values, runtime }) => {
    return new Iter(slices(listOf(input, runtime.meter), indexArgument(values[0]!), values[1]!, runtime));
  },
  "groupby(attribute, default=None, case_sensitive=False)": (input, { values, runtime }) => {
    const [attribute, fallback, caseSensitive] = values as [Value, Value, Value];
    const get = getter(attribute, runtime, fallback);
    const fold = folded(truthy(caseSensitive));
    const items = sorted(listOf(input, runtime.meter), (item) => [fold(get(item))], false, runtime);
    const groups: Tuple[] = [];
    let key: Value | undefined;
    for (const item of items) {
      const next = fold(get(item));
      if (key !== undefined && equals(key, next, runtime.meter)) (groups.at(-1)!.items[1] as List).push(item);
      else groups.push(new Tuple([get(item), [item]], ["grouper", "list"]));
      key = next;
    }
    return groups;
  },
});

/** make_attrgetter: follows a path such as "function.name" or "0"; the value itself for None. */
export function getter(attribute: Value, { meter }: Runtime, fallback: Value = null): (item: Value) => Value {
  const parts = partsOf(attribute);
  return (item) => {
    let value = item;
    for (const part of parts) {
      meter.step();
      value = itemOf(value, part, meter);
      if (fallback !== null && value instanceof Undefined) value = fallback;
    }
    return value;
  };
}

function partsOf(attribute: Value): Value[] {
  if (attribute === null) return [];
  if (typeof attribute !== "string") return [attribute];
  return attribute.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : part));
}

function manyGetter(attribute: Value, caseSensitive: boolean, runtime: Runtime): (item: Value) => List {
  const paths = typeof attribute === "string" ? attribute.split(",") : [attribute];
  const getters = paths.map((path) => getter(path, runtime));
  const fold = folded(caseSensitive);
  return (item) => getters.map((get) => fold(get(item)));
}

function folded(caseSensitive: boolean): (value: Value) => Value {
  return (value) => (!caseSensitive && typeof value === "string" ? value.toLowerCase() : value);
}

/** Sorted as Python's sorted() does it: stable, also in reverse. */
function sorted<T extends Value>(items: T[], keysOf: (item: T) => List, reverse: boolean, { meter }: Runtime): T[] {
  const keyed = items.map((item) => ({ item, keys: keysOf(item) }));
  const sign = reverse ? -1 : 1;
  keyed.sort((one, other) => {
    meter.step();
    return sign * compare(one.keys, other.keys, "<", meter) || 0;
  });
  return keyed.map(({ item }) => item);
}

function extreme(input: Value, { values, runtime }: Bound, sign: number): Value {
  const get = getter(values[1]!, runtime);
  const fold = folded(truthy(values[0]!));
  let best: { item: Value; key: Value } | undefined;
  for (const item of iterate(input)) {
    runtime.meter.step();
    const key = fold(get(item));
    if (!best || sign * compare(key, best.key, sign < 0 ? "<" : ">", runtime.meter) > 0) best = { item, key };
  }
  return best ? best.item : new Undefined(() => "No aggregated item, sequence was empty.");
}

function* unique(input: Value, keyOf: (item: Value) => Value, { meter }: Runtime): Generator<Value> {
  const seen = new Set<unknown>();
  for (const item of iterate(input)) {
    meter.step();
    const hash = hashKey(keyOf(item));
    if (seen.has(hash)) continue;
    seen.add(hash);
    yield item;
  }
}

function* batches(input: Value, size: number, fill: Value, { meter }: Runtime): Generator<Value> {
  let batch: List = [];
  for (const item of iterate(input)) {
    meter.step();
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== null) {
    meter.step(Math.max(0, size - batch.length));
    while (batch.length < size) batch.push(fill);
  }
  yield batch;
}

function* slices(items: List, count: number, fill: Value, { meter }: Runtime): Generator<Value> {
  if (count === 0) throw new TemplateError("integer division or modulo by zero");
  const size = Math.floor(items.length / count);
  const longer = items.length - size * count;
  let start = 0;
  for (let index = 0; index < count; index++) {
    meter.step();
    const end = start + size + (index < longer ? 1 : 0);
    const slice = items.slice(start, end);
    start = end;
    if (fill !== null && index >= longer) slice.push(fill);
    yield slice;
  }
}
