/** Every op's gradient rule against finite differences of the forward pass, on ONNX Runtime. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  add,
  backward,
  cast,
  concat,
  cos,
  div,
  erf,
  exp,
  expand,
  gather,
  gatherElements,
  gemm,
  Graph,
  greater,
  layerNorm,
  log,
  matmul,
  mul,
  OPS,
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
import { check, frozen, indices, of, type Case } from "./check-gradient.js";
import { compile } from "./evaluate.js";

/** Cases of each op. An op whose every input has a null rule is listed with no case, and nothing else may be. */
const CASES: Record<string, Case[]> = {
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

for (const [op, cases] of Object.entries(CASES)) {
  const differentiable = (OPS[op] ?? assert.fail()).vjp.some((rule) => rule !== null);
  test(`${op}: has cases exactly if it has a gradient`, () => {
    assert.equal(cases.length > 0, differentiable);
  });
  for (const example of cases) {
    test(`${op}: gradient ${example.name}`, () => check(example));
  }
}

test("every op of the table has an entry here", () => {
  assert.deepEqual(Object.keys(CASES).sort(), Object.keys(OPS).sort());
});

test("the gradient of a sum is 1 for every element, infinite ones and those that are not a number too", async () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [2, "S"], { trainable: true });
  const [gradient] = backward(reduceSum(x, [0, 1], false), [x]);
  graph.output("gradient", gradient ?? assert.fail());
  const run = await compile(graph, { S: 2 });
  const { gradient: ones } = await run({ x: Float32Array.of(Infinity, NaN, -Infinity, 3) });
  assert.deepEqual(ones, Float32Array.of(1, 1, 1, 1));
});

test("a gradient that does not fit its value is refused", () => {
  const graph = new Graph();
  const x = graph.input("x", "float32", [2, 3], { trainable: true });
  const squares = graph.withGradient(
    [x],
    () => mul(x, x),
    (g) => [reduceSum(g, [1])],
  );
  assert.throws(() => backward(reduceSum(squares, [0, 1], false), [x]), /\[2, 1\] does not fit its value \[2, 3\]/);
});

test("look-ups refuse a gradient into their table instead of losing it", () => {
  const graph = new Graph();
  const table = graph.input("table", "float32", [4, 2], { trainable: true });
  assert.throws(() => gather(table, indices(graph, 1n)), /Gather has no gradient for input 0/);
  assert.throws(() => gatherElements(table, graph.literal(BigInt64Array.of(0n), [1, 1])), /no gradient|rows differ/);
  assert.throws(() => concat(table, frozen(graph, [1, 2]), 0), /Concat has no gradient/);
});
