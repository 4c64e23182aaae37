/** Macros, and the bodies of calls, which their macros call as caller(). */
import { compileEntry, type CompileBody } from "./compile-scopes.js";
import { compileExpression, type Frame } from "./compile-expressions.js";
import { TemplateError } from "./errors.js";
import type { Parameter, Statement } from "./nodes.js";
import type { Rendition } from "./runtime.js";
import { analyse, analyseExpression, mentions, Unit, type Scope } from "./scopes.js";
import {
  Callable,
  Dict,
  Tuple,
  typeName,
  Undefined,
  WithAttributes,
  type Kwargs,
  type List,
  type Value,
} from "./values.js";

const SPECIAL = ["caller", "kwargs", "varargs"] as const;

interface MacroCode {
  unit: Unit;
  names: string[];
  /** Slots of the special parameters that the body reads. */
  special: Partial<Record<(typeof SPECIAL)[number], number>>;
  run(frame: Frame, given: (Value | undefined)[]): void;
}

class Macro extends WithAttributes {
  override readonly typeName = "Macro";
  readonly #code: MacroCode;

  constructor(name: string, code: MacroCode, parent: Frame) {
    super(name, (args, kwargs) => parent.runtime.captured(() => this.write(args, kwargs)));
    this.#code = code;
    this.write = (args, kwargs) => {
      const { runtime } = parent;
      const frame: Frame = { slots: new Array<undefined>(code.unit.size), parent, runtime };
      const given = bind(name, code, frame, args, kwargs);
      runtime.meter.nested(() => code.run(frame, given));
    };
  }

  /** Calls the macro, whose output goes where it is called. */
  readonly write: (args: List, kwargs: Kwargs) => void;

  attribute(name: string): Value | undefined {
    const { names, special } = this.#code;
    switch (name) {
      case "name":
        return this.name;
      case "arguments":
        return new Tuple(names);
      case "catch_kwargs":
        return special.kwargs !== undefined;
      case "catch_varargs":
        return special.varargs !== undefined;
      case "caller":
        return special.caller !== undefined;
    }
    return undefined;
  }
}

export function compileMacro(
  name: string,
  parameters: readonly Parameter[],
  body: readonly Statement[],
  outer: Scope,
  compileBody: CompileBody,
): (frame: Frame) => Macro {
  const code = compileCode(parameters, body, outer, compileBody);
  return (frame) => new Macro(name, code, frame);
}

/** The body of a call, as a macro without a name. */
export function compileCaller(
  parameters: readonly Parameter[],
  body: readonly Statement[],
  outer: Scope,
  compileBody: CompileBody,
): (frame: Frame) => Macro {
  return compileMacro("caller", parameters, body, outer, compileBody);
}

/** Calls what may be a macro. A macro whose text is not used writes it where it is called. */
export function macroCall(callee: Value, runtime: Rendition, args?: List, kwargs?: Kwargs): Value {
  if (!args && callee instanceof Macro) {
    callee.write([], new Map());
    return null;
  }
  if (callee instanceof Callable) return callee.call(args ?? [], kwargs ?? new Map(), runtime);
  if (callee instanceof Undefined) throw callee.fail();
  throw new TemplateError(`'${typeName(callee)}' object is not callable`);
}

function compileCode(
  parameters: readonly Parameter[],
  body: readonly Statement[],
  outer: Scope,
  compileBody: CompileBody,
): MacroCode {
  const unit = new Unit(outer.unit);
  const scope = outer.inner(unit);
  const slots = parameters.map(({ name }) => scope.parameter(name).index);
  const special: MacroCode["special"] = {};
  for (const name of SPECIAL) {
    const isParameter = parameters.some((parameter) => parameter.name === name);
    if (!isParameter && mentions(body, name)) special[name] = scope.parameter(name).index;
  }
  for (const { fallback } of parameters) if (fallback) analyseExpression(scope, fallback);
  analyse(scope, body);
  const fallbacks = parameters.map(({ name, fallback }) =>
    fallback ? compileExpression(fallback, scope) : () => new Undefined(() => `parameter '${name}' was not provided`),
  );
  const [enter, execute] = [compileEntry(scope), compileBody(body, scope, false)];
  return {
    unit,
    names: parameters.map(({ name }) => name),
    special,
    run(frame, given) {
      enter(frame);
      given.forEach((value, index) => void (frame.slots[slots[index]!] = value));
      for (const [index, value] of given.entries()) {
        if (value === undefined) frame.slots[slots[index]!] = fallbacks[index]!(frame);
        else frame.runtime.tracker.assigned(value);
      }
      execute(frame);
    },
  };
}

/** The values of the parameters, undefined where none is given; the special ones go to their slots. */
function bind(
  name: string,
  { names, special }: MacroCode,
  frame: Frame,
  args: List,
  kwargs: Kwargs,
): (Value | undefined)[] {
  const left = new Map(kwargs);
  const given = names.map((parameter, index) => {
    if (index < args.length) return args[index];
    const value = left.get(parameter);
    left.delete(parameter);
    return value;
  });
  if (special.caller !== undefined) {
    frame.slots[special.caller] = left.get("caller") ?? new Undefined(() => "No caller defined");
    left.delete("caller");
  }
  if (special.kwargs !== undefined) frame.slots[special.kwargs] = Dict.of(left);
  else if (left.size > 0)
    throw new TemplateError(`macro '${name}' takes no keyword argument '${left.keys().next().value}'`);
  if (special.varargs !== undefined) frame.slots[special.varargs] = new Tuple(args.slice(names.length));
  else if (args.length > names.length) {
    throw new TemplateError(`macro '${name}' takes not more than ${names.length} argument(s)`);
  }
  return given;
}
