import { native, type Bound } from "./native.js";
import type { Filter, Value } from "./values.js";

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
