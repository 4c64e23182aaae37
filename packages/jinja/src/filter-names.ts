import { native, type Bound } from "./native.js";
import type { Runtime } from "./runtime.js";
import type { Kwargs, List, Value } from "./values.js";

export type Filter = (input: Value, args: List, kwargs: Kwargs, runtime: Runtime) => Value;

/** What the test `filter` knows. */
export const FILTER_NAMES = new Set<string>();

/** Filters by their signatures without the value; "a, b" before the parentheses are two names of one filter. */
export function filtersOf(definitions: Record<string, (input: Value, bound: Bound) => Value>): Map<string, Filter> {
  return new Map(
    Object.entries(definitions).flatMap(([definition, run]) => {
      const [, names, parameters] = /^([\w, ]+)(\(.*\))$/s.exec(definition)!;
      return names!.split(", ").map((name): [string, Filter] => {
        const { bind } = native(name + parameters);
        return [name, (input, args, kwargs, runtime) => run(input, bind(args, kwargs, runtime))];
      });
    }),
  );
}
