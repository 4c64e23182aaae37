/**
 * How an op is defined: its ONNX name and domain, its inputs, outputs and attributes, its shape rule and its gradient
 * rules, all in one place. The function of the models' and gradients' language that applies it is written beside it.
 */
import type { AttributeKind, AttributeTypes, Attributes, Op, TensorType, Value, Vjp } from "./graph.js";

/** A name that ends in "?" is optional. */
type Named<T> = { readonly [Name in keyof T as Name extends `${string}?` ? never : Name]: T[Name] } & {
  readonly [Name in keyof T as Name extends `${infer Base}?` ? Base : never]?: T[Name];
};

type Values<Names extends readonly string[]> = Named<Record<Names[number], Value>>;
type Kinds = Readonly<Record<string, AttributeKind>>;
type AttributesOf<A extends Kinds> = Named<{ [Name in keyof A]: AttributeTypes[A[Name]] }>;

/**
 * From the gradient `g` of the first output to that of an input, in the input's shape or the one that it was broadcast
 * to. `values`: the node's inputs and outputs by name; `gradients`: those of all outputs.
 */
type GradientRule<I extends readonly string[], O extends readonly string[], A extends Kinds> = (
  g: Value,
  values: Values<I> & Values<O>,
  attributes: AttributesOf<A>,
  gradients: readonly (Value | undefined)[],
) => Value;

interface Definition<I extends readonly string[], O extends readonly string[], A extends Kinds> {
  /** ONNX's name. */
  name: string;
  /** ONNX Runtime's own ops; standard ones have none. */
  domain?: "com.microsoft";
  inputs: I;
  /** Names of the outputs that rules ask for; "y" unless given. */
  outputs?: O;
  attributes?: A;
  /** Types of the outputs; throws on inputs that do not fit. */
  infer(inputs: Values<I>, attributes: AttributesOf<A>): TensorType[];
  /** By the names of inputs; an input without a rule has no gradient. */
  vjp: { readonly [Name in keyof Values<I>]?: GradientRule<I, O, A> };
}

/** Applies an op to inputs and attributes by name, and gives its outputs. */
type Applied<I extends readonly string[], A extends Kinds> = (
  inputs: Values<I>,
  attributes: AttributesOf<A>,
) => [Value, ...Value[]];

/** Every op, by name: for writing a graph for a device, or testing all rules. */
const defined: Record<string, Op> = {};
export const OPS: Readonly<Record<string, Op>> = defined;

/** Adds an op to the table, and gives the function that applies it: from inputs and attributes by name to its outputs. */
export function defineOp<
  const I extends readonly string[],
  const O extends readonly string[] = readonly ["y"],
  const A extends Kinds = Record<never, never>,
>(definition: Definition<I, O, A>): Applied<I, A> {
  const { name, domain = "", outputs = ["y"], attributes = {}, infer } = definition;
  if (name in defined) throw new Error(`${name} is defined twice`);
  const inputNames = definition.inputs.map(withoutMark);
  const rules = definition.vjp as Readonly<Record<string, GradientRule<I, O, A> | undefined>>;
  const ruleOf = (input: string): Vjp | null => {
    const rule = rules[input];
    if (!rule) return null;
    return (node, gradients) => {
      const values = byName(outputs, node.outputs, byName(inputNames, node.inputs));
      return rule(gradients[0] as Value, values as never, node.attributes as never, gradients);
    };
  };
  const op: Op = {
    name,
    domain,
    attributes: Object.fromEntries(Object.entries(attributes as Kinds).map(([key, kind]) => [withoutMark(key), kind])),
    infer: (inputs, attributes) => infer(byName(inputNames, inputs) as never, attributes as never),
    vjp: inputNames.map(ruleOf),
  };
  defined[name] = op;
  return (inputs, values) => {
    const given = inputs as Readonly<Record<string, Value | undefined>>;
    const operands = inputNames.flatMap((input) => given[input] ?? []);
    const [first] = operands;
    if (!first) throw new Error(`${name} needs an input`);
    return first.graph.apply(op, operands, values as Attributes);
  };
}

const withoutMark = (name: string) => name.replace(/\?$/, "");

/** In loops, since each node that is built passes here more than once. */
function byName(names: readonly string[], values: readonly Value[], named: Record<string, Value> = {}) {
  for (const [i, name] of names.entries()) {
    const value = values[i];
    if (value) named[name] = value;
  }
  return named;
}

export const sameType = ({ x: { dtype, shape } }: { x: Value }): TensorType[] => [{ dtype, shape }];
