import { broadcast } from "../dims.js";
import { cast, cos, div, exp, greater, mul, scale, sin, sub, unbroadcast, where } from "../functional.js";
import type { Attributes, Dtype, Node, TensorType, Value } from "../graph.js";
import { input, output, outputGradient } from "./node-parts.js";
import type { OpRule, Vjp } from "./table.js";

const broadcasting = (inputs: readonly TensorType[]): TensorType[] => {
  const [a, b] = [input(inputs, 0), input(inputs, 1)];
  if (a.dtype !== b.dtype) throw new Error(`operands are ${a.dtype} and ${b.dtype}`);
  return [{ dtype: a.dtype, shape: broadcast(a.shape, b.shape) }];
};

const sameType = (inputs: readonly TensorType[]): TensorType[] => [
  { dtype: input(inputs, 0).dtype, shape: input(inputs, 0).shape },
];

/** A VJP of a binary op: the full-shape gradient, summed back to the operand's shape. */
const operand = (index: 0 | 1, full: (node: Node, gradient: Value) => Value): Vjp => {
  return (node, gradients) => unbroadcast(full(node, outputGradient(gradients)), input(node.inputs, index).shape);
};

const binary = (a: (node: Node, g: Value) => Value, b: (node: Node, g: Value) => Value): OpRule => ({
  domain: "",
  attributes: {},
  infer: broadcasting,
  vjp: [operand(0, a), operand(1, b)],
});

const unary = (
  derivativeTimes: (node: Node, gradient: Value) => Value,
  attributes: OpRule["attributes"] = {},
): OpRule => ({
  domain: "",
  attributes,
  infer: sameType,
  vjp: [(node, gradients) => derivativeTimes(node, outputGradient(gradients))],
});

const x = (node: Node) => input(node.inputs, 0);
const y = (node: Node) => output(node);

export type ElementwiseOp =
  | "Add"
  | "Sub"
  | "Mul"
  | "Div"
  | "Exp"
  | "Log"
  | "Sqrt"
  | "Cos"
  | "Sin"
  | "Erf"
  | "Tanh"
  | "Sigmoid"
  | "Relu"
  | "Gelu"
  | "Greater"
  | "Where"
  | "Cast";

export const elementwiseOps: Record<ElementwiseOp, OpRule> = {
  Add: binary(
    (_, g) => g,
    (_, g) => g,
  ),
  Sub: binary(
    (_, g) => g,
    (_, g) => scale(g, -1),
  ),
  Mul: binary(
    (node, g) => mul(g, input(node.inputs, 1)),
    (node, g) => mul(g, x(node)),
  ),
  Div: binary(
    (node, g) => div(g, input(node.inputs, 1)),
    (node, g) => scale(div(mul(g, y(node)), input(node.inputs, 1)), -1),
  ),
  Log: unary((node, g) => div(g, x(node))),
  Sqrt: unary((node, g) => div(g, scale(y(node), 2))),
  Exp: unary((node, g) => mul(g, y(node))),
  Cos: unary((node, g) => scale(mul(g, sin(x(node))), -1)),
  Sin: unary((node, g) => mul(g, cos(x(node)))),
  Erf: unary((node, g) => mul(g, scale(exp(scale(mul(x(node), x(node)), -1)), 2 / Math.sqrt(Math.PI)))),
  Tanh: unary((node, g) => mul(g, sub(g.graph.scalar(1), mul(y(node), y(node))))),
  Sigmoid: unary((node, g) => mul(g, mul(y(node), sub(g.graph.scalar(1), y(node))))),
  Relu: unary((node, g) => where(greater(x(node), g.graph.scalar(0)), g, g.graph.scalar(0))),
  /** For where no gradient is needed; groups/activations.ts has the other form. */
  Gelu: { domain: "", attributes: { approximate: "string" }, infer: sameType, vjp: [null] },
  Greater: {
    domain: "",
    attributes: {},
    infer: (inputs) => broadcasting(inputs).map(({ shape }): TensorType => ({ dtype: "bool", shape })),
    vjp: [null, null],
  },
  Where: {
    domain: "",
    attributes: {},
    infer: (inputs) => {
      const [condition, a, b] = [input(inputs, 0), input(inputs, 1), input(inputs, 2)];
      if (condition.dtype !== "bool" || a.dtype !== b.dtype)
        throw new Error("Where needs a condition and two like values");
      return [{ dtype: a.dtype, shape: broadcast(condition.shape, broadcast(a.shape, b.shape)) }];
    },
    vjp: [
      null,
      (node, gradients) => {
        const g = outputGradient(gradients);
        return unbroadcast(where(x(node), g, g.graph.scalar(0)), input(node.inputs, 1).shape);
      },
      (node, gradients) => {
        const g = outputGradient(gradients);
        return unbroadcast(where(x(node), g.graph.scalar(0), g), input(node.inputs, 2).shape);
      },
    ],
  },
  Cast: {
    domain: "",
    attributes: { to: "string" },
    infer: (inputs, attributes: Attributes) => [{ dtype: attributes["to"] as Dtype, shape: input(inputs, 0).shape }],
    vjp: [(node, gradients) => cast(outputGradient(gradients), x(node).dtype)],
  },
};
