/** Functions of the engine's own with a signature as Python writes it: binding positional and named arguments to it. */
import { TemplateError } from "./errors.js";
import type { Kwargs, List, Value, Runtime } from "./values.js";

/** What a native function is given: its parameters in the signature's order, then what *args and **kwargs took. */
export interface Bound {
  values: List;
  rest: List;
  kwargs: Kwargs;
  runtime: Runtime;
}

export interface Native {
  name: string;
  bind(args: List, kwargs: Kwargs, runtime: Runtime): Bound;
}

export interface Method extends Native {
  run(self: never, bound: Bound): Value;
}

interface Parameter {
  name: string;
  fallback: Value | undefined;
}

const NO_KWARGS: Kwargs = new Map();

/**
 * Reads a signature such as "replace(old, new, count=None)". "*args" and "**kwargs" take what is left; "/" at the end
 * says that no parameter may be named. Defaults are None, True, False, whole numbers, and texts in single quotes.
 */
export function native(signature: string): Native {
  const [, name, list] = /^(\w+)\((.*)\)$/.exec(signature)!;
  const parts = list!.split(/, (?=[\w*/])/).filter((part) => part !== "");
  const parameters: Parameter[] = parts
    .filter((part) => /^\w/.test(part))
    .map((part) => {
      const [parameter, fallback] = part.split(/=(.*)/s);
      return { name: parameter!, fallback: fallback === undefined ? undefined : literal(fallback) };
    });
  const takesRest = parts.includes("*args");
  const takesKwargs = parts.includes("**kwargs");
  const positional = parts.includes("/");
  return {
    name: name!,
    bind(args, kwargs, runtime) {
      if (args.length > parameters.length && !takesRest) {
        throw new TemplateError(`${name}() takes at most ${parameters.length} arguments (${args.length} given)`);
      }
      const values = parameters.map((parameter, index): Value => {
        const named = kwargs.size > 0 ? kwargs.get(parameter.name) : undefined;
        if (index < args.length) {
          if (named === undefined || positional) return args[index]!;
          throw new TemplateError(`${name}() got multiple values for argument '${parameter.name}'`);
        }
        const given = positional ? undefined : named;
        const value = given === undefined ? parameter.fallback : given;
        if (value === undefined) throw new TemplateError(`${name}() missing the argument '${parameter.name}'`);
        return value;
      });
      const left = kwargs.size === 0 ? NO_KWARGS : new Map(kwargs);
      if (left.size > 0 && !positional) for (const parameter of parameters) left.delete(parameter.name);
      if (left.size > 0 && !takesKwargs) {
        throw new TemplateError(`${name}() got an unexpected keyword argument '${left.keys().next().value}'`);
      }
      return { values, rest: args.slice(parameters.length), kwargs: left, runtime };
    },
  };
}

function literal(text: string): Value {
  if (text === "None") return null;
  if (text === "True" || text === "False") return text === "True";
  return text.startsWith("'") ? text.slice(1, -1) : BigInt(text);
}
