/** Jinja2's tests. */
import { TemplateError } from "./errors.js";
import type { Comparison } from "./nodes.js";
import { arithmetic, contains, equals, iterate } from "./operations.js";
import { str } from "./printing.js";
import { KINDS } from "./python-text.js";
import type { Meter } from "./limits.js";
import { compare } from "./operations.js";
import {
  Callable,
  Dict,
  isNumber,
  Iter,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Kwargs,
  type List,
  type Value,
  type Runtime,
} from "./values.js";

export type Test = (value: Value, args: List, kwargs: Kwargs, runtime: Runtime) => boolean;

/** Tests that take the value alone. */
const OF_VALUE: Record<string, (value: Value, meter: Meter) => boolean> = {
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  true: (value) => value === true,
  false: (value) => value === false,
  integer: (value) => typeof value === "bigint",
  float: (value) => typeof value === "number",
  number: isNumber,
  string: (value) => typeof value === "string",
  mapping: (value) => value instanceof Dict,
  sequence: (value) =>
    typeof value === "string" ||
    Array.isArray(value) ||
    [Tuple, Dict, Range, Undefined].some((type) => value instanceof type),
  iterable: (value) => isIterable(value),
  callable: (value) => value instanceof Callable || value instanceof Undefined,
  escaped: () => false,
  lower: (value, meter) => KINDS["islower"]!(str(value, meter)),
  upper: (value, meter) => KINDS["isupper"]!(str(value, meter)),
  odd: (value, meter) => equals(arithmetic("%", value, 2n, meter), 1n, meter),
  even: (value, meter) => equals(arithmetic("%", value, 2n, meter), 0n, meter),
  test: (value) => typeof value === "string" && TESTS.has(value),
};

/** Tests that take one more value. */
const OF_TWO: Record<string, (value: Value, other: Value, meter: Meter) => boolean> = {
  divisibleby: (value, other, meter) => equals(arithmetic("%", value, other, meter), 0n, meter),
  sameas: isSame,
  in: (value, other, meter) => contains(other, value, meter),
};

const COMPARISONS: [Comparison, ...string[]][] = [
  ["==", "eq", "equalto"],
  ["!=", "ne"],
  [">", "gt", "greaterthan"],
  [">=", "ge"],
  ["<", "lt", "lessthan"],
  ["<=", "le"],
];

export const TESTS: ReadonlyMap<string, Test> = new Map([
  [
    "filter",
    (value, args, kwargs, runtime) => {
      refuseOthers("filter", args.length + kwargs.size, 0);
      return runtime.filterNamed(value) !== undefined;
    },
  ] as [string, Test],
  ...Object.entries(OF_VALUE).map(([name, test]): [string, Test] => [
    name,
    (value, args, kwargs, { meter }) => {
      refuseOthers(name, args.length + kwargs.size, 0);
      return test(value, meter);
    },
  ]),
  ...Object.entries(OF_TWO).map(([name, test]): [string, Test] => [
    name,
    (value, args, kwargs, { meter }) => {
      const all = [...args, ...kwargs.values()];
      refuseOthers(name, all.length, 1);
      return test(value, all[0]!, meter);
    },
  ]),
  ...COMPARISONS.flatMap((names) =>
    names.map((name): [string, Test] => [
      name,
      (value, args, kwargs, { meter }) => {
        refuseOthers(name, args.length + kwargs.size, 1);
        return compared(names[0], value, args[0]!, meter);
      },
    ]),
  ),
]);

function compared(operator: Comparison, value: Value, other: Value, meter: Meter): boolean {
  if (operator === "==" || operator === "!=") return equals(value, other, meter) === (operator === "==");
  const order = compare(value, other, operator, meter);
  return operator.startsWith(">")
    ? order > 0 || (order === 0 && operator === ">=")
    : order < 0 || (order === 0 && operator === "<=");
}

function refuseOthers(name: string, given: number, wanted: number): void {
  if (given !== wanted) throw new TemplateError(`the test '${name}' takes ${wanted} arguments (${given} given)`);
}

function isIterable(value: Value): boolean {
  if (value === null || isNumber(value)) return false;
  if (value instanceof Iter || value instanceof Undefined) return true;
  if (value instanceof Thing && typeName(value) === "LoopContext") return true;
  try {
    iterate(value);
    return true;
  } catch {
    return false;
  }
}

function isSame(value: Value, other: Value): boolean {
  // Python has each small whole number and each short text once.
  return value === other || (value instanceof Undefined && value === other);
}
