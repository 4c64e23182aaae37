/** map, select and reject, which call other filters and tests. */
import { TemplateError } from "./errors.js";
import { getter } from "./filters-collections.js";
import { iterate } from "./operations.js";
import { TESTS } from "./tests.js";
import { Iter, truthy, type Filter, type Kwargs, type List, type Value, type Runtime } from "./values.js";

export const selectionFilters: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ["map", (input, args, kwargs, runtime) => new Iter(mapped(input, args, kwargs, runtime))],
  ["select", (input, args, kwargs, runtime) => new Iter(selected(input, args, kwargs, runtime, true, false))],
  ["reject", (input, args, kwargs, runtime) => new Iter(selected(input, args, kwargs, runtime, false, false))],
  ["selectattr", (input, args, kwargs, runtime) => new Iter(selected(input, args, kwargs, runtime, true, true))],
  ["rejectattr", (input, args, kwargs, runtime) => new Iter(selected(input, args, kwargs, runtime, false, true))],
]);

function* mapped(input: Value, args: List, kwargs: Kwargs, runtime: Runtime): Generator<Value> {
  if (!truthy(input)) return;
  const map = mapping(args, kwargs, runtime);
  for (const item of iterate(input)) {
    runtime.meter.step();
    yield map(item);
  }
}

function mapping(args: List, kwargs: Kwargs, runtime: Runtime): (item: Value) => Value {
  if (args.length === 0 && kwargs.has("attribute")) {
    const others = [...kwargs.keys()].filter((name) => name !== "attribute" && name !== "default");
    if (others.length > 0) throw new TemplateError(`Unexpected keyword argument '${others[0]}'`);
    return getter(kwargs.get("attribute")!, runtime, kwargs.get("default") ?? null);
  }
  const [name, ...rest] = args;
  if (name === undefined) throw new TemplateError("map requires a filter argument");
  const filter = runtime.filterNamed(name);
  if (!filter) throw new TemplateError(`No filter named '${String(name as string)}'.`);
  return (item) => filter(item, rest, kwargs, runtime);
}

function* selected(
  input: Value,
  args: List,
  kwargs: Kwargs,
  runtime: Runtime,
  wanted: boolean,
  byAttribute: boolean,
): Generator<Value> {
  if (!truthy(input)) return;
  const accepts = acceptance(args, kwargs, runtime, byAttribute);
  for (const item of iterate(input)) {
    runtime.meter.step();
    if (accepts(item) === wanted) yield item;
  }
}

function acceptance(args: List, kwargs: Kwargs, runtime: Runtime, byAttribute: boolean): (item: Value) => boolean {
  if (byAttribute && args.length === 0) throw new TemplateError("Missing parameter for attribute name");
  const get = byAttribute ? getter(args[0]!, runtime) : (item: Value) => item;
  const [name, ...rest] = byAttribute ? args.slice(1) : args;
  if (name === undefined) return (item) => truthy(get(item));
  const test = typeof name === "string" ? TESTS.get(name) : undefined;
  if (!test) throw new TemplateError(`No test named '${String(name as string)}'.`);
  return (item) => test(get(item), rest, kwargs, runtime);
}
