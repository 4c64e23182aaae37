/** Expressions to functions that give their value. */
import { attributeOf, itemOf, methodOf, sliceOf } from "./attributes.js";
import { TemplateError } from "./errors.js";
import { FILTERS } from "./filters.js";
import type { Arguments, Comparison, Expression, Part } from "./nodes.js";
import { arithmetic, compare, contains, equals, listOf, negate, plus } from "./operations.js";
import { str } from "./printing.js";
import type { Rendition } from "./runtime.js";
import type { Scope, Slot, Unit } from "./scopes.js";
import { TESTS } from "./tests.js";
import { Callable, Dict, Tuple, truthy, typeName, Undefined, type Kwargs, type List, type Value } from "./values.js";

/** What a unit works on while it runs: its variables, and those of the unit around it. */
export interface Frame {
  readonly slots: (Value | undefined)[];
  readonly parent: Frame | undefined;
  readonly runtime: Rendition;
}

export type Evaluate = (frame: Frame) => Value;

/** The frame that holds a slot, seen from a unit. */
export function frameOf({ unit }: Slot, from: Unit): (frame: Frame) => Frame {
  const hops = from.depth - unit.depth;
  if (hops === 0) return (frame) => frame;
  if (hops === 1) return (frame) => frame.parent!;
  return (frame) => {
    let outer = frame;
    for (let left = hops; left > 0; left--) outer = outer.parent!;
    return outer;
  };
}

export function compileExpression(expression: Expression, scope: Scope): Evaluate {
  const compile = (part: Expression) => compileExpression(part, scope);
  switch (expression.kind) {
    case "constant": {
      const { value } = expression;
      return () => value;
    }
    case "name":
      return compileName(expression.name, scope);
    case "list": {
      const items = expression.items.map(compile);
      return (frame) => evaluated(items, frame);
    }
    case "tuple": {
      const items = expression.items.map(compile);
      return (frame) => new Tuple(evaluated(items, frame));
    }
    case "dict": {
      const entries = expression.entries.map(([key, value]) => [compile(key), compile(value)] as const);
      return (frame) => {
        frame.runtime.meter.step(1 + entries.length);
        return Dict.of(entries.map(([key, value]) => [key(frame), value(frame)] as const));
      };
    }
    case "attribute":
      return compileAttribute(compile(expression.object), expression.name);
    case "item": {
      const [object, key] = [compile(expression.object), compile(expression.key)];
      return (frame) => itemOf(object(frame), key(frame), frame.runtime.meter);
    }
    case "slice": {
      const object = compile(expression.object);
      const [start, stop, step] = [expression.start, expression.stop, expression.step].map((part) =>
        compilePart(part, scope),
      );
      return (frame) => sliceOf(object(frame), start!(frame), stop!(frame), step!(frame), frame.runtime.meter);
    }
    case "call":
      return compileCall(expression.callee, expression.args, scope);
    case "filter": {
      if (!expression.input) throw new Error("a filter without an input");
      const input = compile(expression.input);
      const apply = compileFilter(expression.name, expression.args, scope);
      return (frame) => apply(input(frame), frame);
    }
    case "test":
      return compileTest(expression.name, compile(expression.input), expression.args, scope);
    case "condition": {
      const [test, yes] = [compile(expression.test), compile(expression.yes)];
      const no = expression.no ? compile(expression.no) : () => NO_ELSE;
      return (frame) => (truthy(test(frame)) ? yes(frame) : no(frame));
    }
    case "and":
    case "or": {
      const [left, right] = [compile(expression.left), compile(expression.right)];
      const stops = expression.kind === "or";
      return (frame) => {
        const value = left(frame);
        return truthy(value) === stops ? value : right(frame);
      };
    }
    case "not": {
      const operand = compile(expression.operand);
      return (frame) => !truthy(operand(frame));
    }
    case "negative": {
      const operand = compile(expression.operand);
      return (frame) => negate(operand(frame));
    }
    case "positive": {
      const operand = compile(expression.operand);
      return (frame) => plus(operand(frame));
    }
    case "compare":
      return compileComparison(compile(expression.first), expression.rest, scope);
    case "arithmetic": {
      const [left, right] = [compile(expression.left), compile(expression.right)];
      const { operator } = expression;
      return (frame) => arithmetic(operator, left(frame), right(frame), frame.runtime.meter);
    }
    case "concat": {
      const items = expression.items.map(compile);
      return (frame) => {
        const { meter } = frame.runtime;
        const texts = items.map((item) => str(item(frame), meter));
        meter.text(texts.reduce((sum, text) => sum + text.length, 0));
        return texts.join("");
      };
    }
  }
}

const NO_ELSE = new Undefined(() => "the inline if-expression evaluated to false and no else section was defined.");

function evaluated(items: readonly Evaluate[], frame: Frame): List {
  frame.runtime.meter.step(1 + items.length);
  return items.map((item) => item(frame));
}

function compilePart(part: Part, scope: Scope): Evaluate {
  return part ? compileExpression(part, scope) : () => null;
}

function compileName(name: string, scope: Scope): Evaluate {
  const slot = scope.slotOf(name)!;
  const { index } = slot;
  const undefinedName = Undefined.named(name);
  if (slot.unit === scope.unit)
    return (frame) => frame.slots[index] ?? (frame.slots[index] === null ? null : undefinedName);
  const holder = frameOf(slot, scope.unit);
  return (frame) => {
    const value = holder(frame).slots[index];
    return value === undefined ? undefinedName : value;
  };
}

function compileAttribute(object: Evaluate, name: string): Evaluate {
  const isMethod = name.startsWith("_") || methodOf(new Dict(), name) !== undefined;
  return (frame) => {
    const value = object(frame);
    // A key of a message, the most frequent case.
    const item = !isMethod && value instanceof Dict ? value.get(name) : undefined;
    return item === undefined ? attributeOf(value, name) : item;
  };
}

function compileCall(callee: Expression, args: Arguments, scope: Scope): Evaluate {
  const given = compileArguments(args, scope);
  if (callee.kind === "attribute") {
    const object = compileExpression(callee.object, scope);
    const { name } = callee;
    return (frame) => {
      const value = object(frame);
      const method = name.startsWith("_") ? undefined : methodOf(value, name);
      if (!method) return call(attributeOf(value, name), given, frame);
      const { positional, kwargs } = given(frame);
      frame.runtime.meter.step();
      return method.run(value as never, method.bind(positional, kwargs, frame.runtime));
    };
  }
  const function_ = compileExpression(callee, scope);
  return (frame) => call(function_(frame), given, frame);
}

function call(callee: Value, given: (frame: Frame) => Given, frame: Frame): Value {
  const { positional, kwargs } = given(frame);
  frame.runtime.meter.step();
  if (callee instanceof Callable) return callee.call(positional, kwargs, frame.runtime);
  if (callee instanceof Undefined) throw callee.fail();
  throw new TemplateError(`'${typeName(callee)}' object is not callable`);
}

export interface Given {
  positional: List;
  kwargs: Kwargs;
}

const NO_KWARGS: Kwargs = new Map();

export function compileArguments(args: Arguments, scope: Scope): (frame: Frame) => Given {
  const positional = args.positional.map((part) => compileExpression(part, scope));
  const named = args.named.map(([name, part]) => [name, compileExpression(part, scope)] as const);
  const rest = args.rest && compileExpression(args.rest, scope);
  const namedRest = args.namedRest && compileExpression(args.namedRest, scope);
  if (named.length === 0 && !rest && !namedRest) {
    return (frame) => ({ positional: positional.map((item) => item(frame)), kwargs: NO_KWARGS });
  }
  return (frame) => {
    const values = positional.map((item) => item(frame));
    if (rest) values.push(...listOf(rest(frame), frame.runtime.meter));
    const kwargs: Kwargs = new Map(named.map(([name, value]) => [name, value(frame)]));
    if (namedRest) addNamed(kwargs, namedRest(frame));
    return { positional: values, kwargs };
  };
}

function addNamed(kwargs: Kwargs, value: Value): void {
  if (!(value instanceof Dict)) throw new TemplateError(`argument after ** must be a mapping, not ${typeName(value)}`);
  for (const [name, item] of value.entries()) {
    if (typeof name !== "string") throw new TemplateError("keywords must be strings");
    if (kwargs.has(name)) throw new TemplateError(`got multiple values for keyword argument '${name}'`);
    kwargs.set(name, item);
  }
}

export function compileFilter(name: string, args: Arguments, scope: Scope): (input: Value, frame: Frame) => Value {
  const given = compileArguments(args, scope);
  const filter = FILTERS.get(name);
  return (input, frame) => {
    if (!filter) throw new TemplateError(`No filter named '${name}'.`);
    const { positional, kwargs } = given(frame);
    frame.runtime.meter.step();
    return filter(input, positional, kwargs, frame.runtime);
  };
}

function compileTest(name: string, input: Evaluate, args: Arguments, scope: Scope): Evaluate {
  const given = compileArguments(args, scope);
  const test = TESTS.get(name);
  return (frame) => {
    if (!test) throw new TemplateError(`No test named '${name}'.`);
    const value = input(frame);
    const { positional, kwargs } = given(frame);
    frame.runtime.meter.step();
    return test(value, positional, kwargs, frame.runtime);
  };
}

function compileComparison(first: Evaluate, rest: [Comparison, Expression][], scope: Scope): Evaluate {
  const operands = rest.map(([operator, part]) => [operator, compileExpression(part, scope)] as const);
  if (operands.length === 1) {
    const [[operator, operand]] = operands as [(typeof operands)[number]];
    return (frame) => holds(operator, first(frame), operand(frame), frame.runtime);
  }
  return (frame) => {
    let left = first(frame);
    for (const [operator, operand] of operands) {
      const right = operand(frame);
      if (!holds(operator, left, right, frame.runtime)) return false;
      left = right;
    }
    return true;
  };
}

export function holds(operator: Comparison, left: Value, right: Value, { meter }: Rendition): boolean {
  switch (operator) {
    case "==":
      return equals(left, right, meter);
    case "!=":
      return !equals(left, right, meter);
    case "in":
      return contains(right, left, meter);
    case "not in":
      return !contains(right, left, meter);
    case "<":
      return compare(left, right, operator, meter) < 0;
    case "<=":
      return compare(left, right, operator, meter) <= 0;
    case ">":
      return compare(left, right, operator, meter) > 0;
    case ">=":
      return compare(left, right, operator, meter) >= 0;
  }
}
