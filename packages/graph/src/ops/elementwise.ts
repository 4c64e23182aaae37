/** Ops that work on each element. Operands broadcast as NumPy's; their gradients need not handle that (see backward.ts). */
import { broadcast } from "../dims.js";
import type { Dtype, TensorType, Value } from "../graph.js";
import { defineOp, sameType } from "../op.js";

interface Pair {
  a: Value;
  b: Value;
}

type Rule<Values> = (g: Value, values: Values) => Value;

/** An op of one operand, from its name and dL/dx of dL/dy (`g`), x and y. */
function unary(name: string, gradient: Rule<{ x: Value; y: Value }>): (x: Value) => Value {
  const op = defineOp({
    name,
    inputs: ["x"],
    infer: sameType,
    vjp: { x: gradient },
  });
  return (x) => op({ x }, {})[0];
}

/** An op of two operands, from its name and the gradients of both. */
function binary(name: string, a: Rule<Pair & { y: Value }>, b: typeof a): (a: Value, b: Value) => Value {
  const op = defineOp({
    name,
    inputs: ["a", "b"],
    infer: broadcasting,
    vjp: { a, b },
  });
  return (left, right) => op({ a: left, b: right }, {})[0];
}

function broadcasting({ a, b }: Pair): [TensorType] {
  if (a.dtype !== b.dtype) throw new Error(`operands are ${a.dtype} and ${b.dtype}`);
  return [{ dtype: a.dtype, shape: broadcast(a.shape, b.shape) }];
}

export const add = binary(
  "Add",
  (g) => g,
  (g) => g,
);
export const sub = binary(
  "Sub",
  (g) => g,
  (g) => scale(g, -1),
);
export const mul = binary(
  "Mul",
  (g, { b }) => mul(g, b),
  (g, { a }) => mul(g, a),
);
export const div = binary(
  "Div",
  (g, { b }) => div(g, b),
  (g, { b, y }) => scale(div(mul(g, y), b), -1),
);
/** x times a known number. */
export const scale = (x: Value, factor: number): Value => (factor === 1 ? x : mul(x, x.graph.scalar(factor)));

export const exp = unary("Exp", (g, { y }) => mul(g, y));
export const log = unary("Log", (g, { x }) => div(g, x));
export const sqrt = unary("Sqrt", (g, { y }) => div(g, scale(y, 2)));
export const cos = unary("Cos", (g, { x }) => scale(mul(g, sin(x)), -1));
export const sin = unary("Sin", (g, { x }) => mul(g, cos(x)));
export const erf = unary("Erf", (g, { x }) => mul(g, scale(exp(scale(mul(x, x), -1)), 2 / Math.sqrt(Math.PI))));
export const sigmoid = unary("Sigmoid", (g, { y }) => mul(g, mul(y, sub(g.graph.scalar(1), y))));
export const relu = unary("Relu", (g, { x }) => where(greater(x, g.graph.scalar(0)), g, g.graph.scalar(0)));

/** For where no gradient is needed; groups/activations.ts has the other form. */
const geluOp = defineOp({
  name: "Gelu",
  inputs: ["x"],
  attributes: { approximate: "string" },
  infer: sameType,
  vjp: {},
});
export const geluForward = (x: Value, approximate: "none" | "tanh") => geluOp({ x }, { approximate })[0];

const greaterOp = defineOp({
  name: "Greater",
  inputs: ["a", "b"],
  infer: (pair) => [{ dtype: "bool", shape: broadcasting(pair)[0].shape }],
  vjp: {},
});
export const greater = (a: Value, b: Value) => greaterOp({ a, b }, {})[0];

const maxOp = defineOp({ name: "Max", inputs: ["a", "b"], infer: broadcasting, vjp: {} });
/** The larger of two, without a gradient. */
export const maximum = (a: Value, b: Value) => maxOp({ a, b }, {})[0];

const whereOp = defineOp({
  name: "Where",
  inputs: ["condition", "a", "b"],
  infer: ({ condition, a, b }) => {
    if (condition.dtype !== "bool" || a.dtype !== b.dtype)
      throw new Error("Where needs a condition and two like values");
    return [{ dtype: a.dtype, shape: broadcast(condition.shape, broadcast(a.shape, b.shape)) }];
  },
  vjp: {
    a: (g, { condition }) => where(condition, g, g.graph.scalar(0)),
    b: (g, { condition }) => where(condition, g.graph.scalar(0), g),
  },
});
/** a where the condition holds, else b. */
export const where = (condition: Value, a: Value, b: Value): Value => whereOp({ condition, a, b }, {})[0];

const castOp = defineOp({
  name: "Cast",
  inputs: ["x"],
  attributes: { to: "dtype" },
  infer: ({ x }, { to }) => [{ dtype: to, shape: x.shape }],
  vjp: { x: (g, { x }) => cast(g, x.dtype) },
});
export const cast = (x: Value, dtype: Dtype): Value => (x.dtype === dtype ? x : castOp({ x }, { to: dtype })[0]);
