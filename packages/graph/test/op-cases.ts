/** Uses of every op, with trainable inputs: for its gradient rule, and for its kernels on a device. */
import {
  add,
  cast,
  cos,
  div,
  erf,
  exp,
  expand,
  gemm,
  greater,
  layerNorm,
  log,
  matmul,
  mul,
  reduceSum,
  relu,
  reshape,
  rmsNorm,
  rotary,
  sigmoid,
  sin,
  softmax,
  split,
  splitInto,
  sqrt,
  sub,
  transpose,
  where,
  type Value,
} from "@gradpool/graph";
import { frozen, of, type Case } from "./check-gradient.js";

/** Cases of each op. An op whose every input has a null rule is listed with no case, and nothing else may be. */
export const OP_CASES: Record<string, Case[]> = {
  Add: [
    of(
      "same shape",
      [
        [2, 3],
        [2, 3],
      ],
      add,
    ),
    of("broadcast", [[2, 3], [3]], add),
    of(
      "broadcast both",
      [
        [2, 1],
        [1, 3],
      ],
      add,
    ),
  ],
  Sub: [
    of(
      "broadcast",
      [
        [2, 3],
        [2, 1],
      ],
      sub,
    ),
    of("scalar", [[2, 3], []], sub),
  ],
  Mul: [
    of(
      "same shape",
      [
        [2, 3],
        [2, 3],
      ],
      mul,
    ),
    of(
      "broadcast",
      [
        [2, 1, 3],
        [4, 1],
      ],
      mul,
    ),
  ],
  Div: [of("broadcast", [[2, 3], [3]], div, [0.5, 1.5])],
  Exp: [of("", [[2, 3]], exp)],
  Erf: [of("", [[2, 5]], erf, [-2, 2])],
  Sqrt: [of("", [[2, 3]], sqrt, [0.5, 2])],
  Log: [of("", [[2, 3]], log, [0.5, 2])],
  Cos: [of("", [[2, 3]], cos, [-3, 3])],
  Sin: [of("", [[2, 3]], sin, [-3, 3])],
  Sigmoid: [of("", [[2, 5]], sigmoid, [-3, 3])],
  Relu: [of("", [[2, 5]], relu, [-2, 2.3])],
  Gelu: [],
  Greater: [],
  Where: [of("", [[2, 3], [3]], (a, b) => where(greater(frozen(a.graph, [2, 3]), a.graph.scalar(0)), a, b))],
  Cast: [of("", [[2, 3]], (x) => mul(cast(cast(x, "float32"), "float32"), x))],
  FusedMatMul: [false, true].flatMap((transA) =>
    [false, true].flatMap((transB) => {
      const [a, b] = [transA ? [4, 2] : [2, 4], transB ? [3, 4] : [4, 3]];
      const build = (x: Value, y: Value) => matmul(x, y, { transA, transB, alpha: 0.7 });
      const name = `transA=${String(transA)} transB=${String(transB)}`;
      return [
        of(name, [a, b], build),
        of(
          `${name}, batched`,
          [
            [2, 1, ...a],
            [2, 1, ...b],
          ],
          build,
        ),
      ];
    }),
  ),
  Gemm: [
    of("row vector", [[2, 4], [4, 3], [3]], (a, b, c) => gemm(a, b, c)),
    of(
      "transposed, matrix",
      [
        [2, 4],
        [3, 4],
        [2, 3],
      ],
      (a, b, c) => gemm(a, b, c, { transB: true }),
    ),
  ],
  LayerNormalization: [
    of("", [[3, 5], [5], [5]], (x, w, b) => layerNorm(x, w, b, 1e-5)),
    of("rank 3", [[2, 2, 4], [4], [4]], (x, w, b) => layerNorm(x, w, b, 1e-5)),
  ],
  SimplifiedLayerNormalization: [
    of("", [[3, 5], [5]], (x, w) => rmsNorm(x, w, 1e-5)),
    of("rank 4", [[2, 1, 2, 4], [4]], (x, w) => rmsNorm(x, w, 1e-6)),
  ],
  Softmax: [of("", [[3, 4]], softmax, [-2, 2])],
  ReduceSum: [
    of("last axis", [[2, 3]], (x) => reduceSum(mul(x, x), [-1])),
    of("two axes, dropped", [[2, 3, 4]], (x) => reduceSum(mul(x, x), [0, 2], false)),
  ],
  TopK: [],
  // Of products in eight bits, which are tested on their own.
  Max: [],
  ReduceMax: [],
  ReduceMin: [],
  QuantizeLinear: [],
  DequantizeLinear: [],
  MatMulIntegerToFloat: [],
  Reshape: [of("", [[2, 6]], (x) => reshape(mul(x, x), [3, "rest"]))],
  Expand: [of("", [[2, 1, 3]], (x) => expand(mul(x, x), [4, 2, 5, 3]))],
  Transpose: [of("", [[2, 3, 4]], (x) => transpose(x, [2, 0, 1]))],
  Split: [
    of("", [[2, 6]], (x) => {
      const [a, b, c] = split(x, 3, 1) as [Value, Value, Value];
      return mul(add(a, b), c);
    }),
    of("into given lengths", [[2, 6]], (x) => {
      const [a, b] = splitInto(x, [2, 4], 1) as [Value, Value];
      return matmul(a, b, { transA: true });
    }),
  ],
  Concat: [],
  RotaryEmbedding: [of("", [[1, 2, 3, 16]], (x) => rotary(x, frozen(x.graph, [3, 8]), frozen(x.graph, [3, 8], 5)))],
  Gather: [],
  GatherElements: [],
};
