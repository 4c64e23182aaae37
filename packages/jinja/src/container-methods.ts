/** Methods of dict, list, tuple, int and float; those that would change a value are refused, as in Jinja2's sandbox. */
import { boundsOf } from "./arguments.js";
import { TemplateError } from "./errors.js";
import { native, type Bound, type Method } from "./native.js";
import { equals } from "./operations.js";
import { Dict, DictView, type Tuple, type List, type Value } from "./values.js";

type Table = ReadonlyMap<string, Method>;

function table<S>(methods: Record<string, (self: S, bound: Bound) => Value>): Table {
  return new Map(
    Object.entries(methods).map(([signature, run]) => {
      const bound = native(signature);
      return [bound.name, { ...bound, run } as unknown as Method];
    }),
  );
}

const DICT = table<Dict>({
  "get(key, default=None, /)": (self, { values }) => self.get(values[0]!) ?? fallback(self, values),
  "keys(/)": (self) => new DictView("dict_keys", self),
  "values(/)": (self) => new DictView("dict_values", self),
  "items(/)": (self) => new DictView("dict_items", self),
  "copy(/)": (self) => copyOf(self),
});

/** A value that is None is there too. */
function fallback(self: Dict, [key, otherwise]: List): Value {
  return self.has(key!) ? null : otherwise!;
}

export function copyOf(dict: Dict): Dict {
  const copy = Dict.of(dict.entries());
  copy.tag = dict.tag;
  return copy;
}

function sequence<S>(itemsOf: (self: S) => List): Record<string, (self: S, bound: Bound) => Value> {
  return {
    "count(value, /)": (self, { values, runtime: { meter } }) => {
      const items = itemsOf(self);
      meter.step(items.length);
      return BigInt(items.filter((item) => equals(item, values[0]!, meter)).length);
    },
    "index(value, start=None, stop=None, /)": (self, { values, runtime: { meter } }) => {
      const items = itemsOf(self);
      const [start, stop] = boundsOf(values[1]!, values[2]!, items.length);
      meter.step(items.length);
      for (let at = start; at < stop; at++) if (equals(items[at]!, values[0]!, meter)) return BigInt(at);
      throw new TemplateError("the value is not in the list");
    },
  };
}

export const CONTAINER_METHODS: Readonly<Record<string, Table>> = {
  dict: DICT,
  list: table<List>({
    ...sequence<List>((self) => self),
    "copy(/)": (self, { runtime: { meter } }) => {
      meter.step(self.length);
      return [...self];
    },
  }),
  tuple: table<Tuple>(sequence<Tuple>((self) => self.items)),
  int: table<bigint>({
    "bit_length(/)": (self) => BigInt(self === 0n ? 0 : self.toString(2).replace("-", "").length),
    "conjugate(/)": (self) => self,
    "is_integer(/)": () => true,
  }),
  float: table<number>({
    "is_integer(/)": (self) => Number.isInteger(self),
    "conjugate(/)": (self) => self,
  }),
};

/** Methods that change what they belong to. */
export const MUTATING: Readonly<Record<string, readonly string[]>> = {
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
  list: ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
};
