import { gelu, mul, relu, scale, sigmoid, silu, type Value } from "@gradpool/graph";

/** Activations by transformers' names (ACT2FN). */
export const ACTIVATIONS = {
  gelu: (x: Value) => gelu(x, "none"),
  gelu_new: (x: Value) => gelu(x, "tanh"),
  gelu_pytorch_tanh: (x: Value) => gelu(x, "tanh"),
  gelu_fast: (x: Value) => gelu(x, "tanh"),
  gelu_accurate: (x: Value) => gelu(x, "tanh"),
  gelu_python: (x: Value) => gelu(x, "none"),
  quick_gelu: (x: Value) => mul(x, sigmoid(scale(x, 1.702))),
  relu2: (x: Value) => mul(relu(x), relu(x)),
  relu,
  silu,
  swish: silu,
};

export type Activation = keyof typeof ACTIVATIONS;
export const ACTIVATION_NAMES = Object.keys(ACTIVATIONS) as Activation[];
