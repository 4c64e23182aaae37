/** Every gradient rule against finite differences of the forward pass, on ONNX Runtime. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  add,
  attention,
  backward,
  cast,
  checkpoint,
  concat,
  cos,
  div,
  dropout,
  erf,
  exp,
  gather,
  gatherElements,
  gelu,
  gemm,
  Graph,
  greater,
  layerNorm,
  log,
  linearCrossEntropy,
  logSoftmax,
  loraLinear,
  matmul,
  mul,
  OPS,
  reduceSum,
  relu,
  reshape,
  rmsNorm,
  rotary,
  sigmoid,
  silu,
  sin,
  softmax,
  split,
  sub,
  tanh,
  transpose,
  where,
  type OpType,
  type Value,
} from "@gradpool/graph";
import { compile, uniform, type Feeds } from "./evaluate.js";

interface Case {
  name: string;
  /** Shapes of the trainable inputs; every one of them is perturbed. */
  shapes: number[][];
  build(inputs: Value[]): Value;
  /** Range of the inputs' values. */
  low?: number;
  high?: number;
}

const of = (
  name: string,
  shapes: number[][],
  build: (...inputs: Value[]) => Value,
  range: [number, number] = [-1, 1],
): Case => ({
  name,
  shapes,
  build: (inputs) => build(...inputs),
  low: range[0],
  high: range[1],
});

const indices = (graph: Graph, ...values: bigint[]) => graph.literal(BigInt64Array.from(values), [values.length]);
/** A frozen matrix, the same for the same shape. */
const frozen = (graph: Graph, shape: number[], seed = 99) =>
  graph.literal(
    uniform(
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

/** Cases of each op. An op whose every input has a null rule is listed with no case, and nothing else may be. */
const CASES: Record<OpType, Case[]> = {
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
  Log: [of("", [[2, 3]], log, [0.5, 2])],
  Cos: [of("", [[2, 3]], cos, [-3, 3])],
  Sin: [of("", [[2, 3]], sin, [-3, 3])],
  Tanh: [of("", [[2, 5]], tanh, [-2, 2])],
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
  LogSoftmax: [of("", [[3, 4]], logSoftmax, [-2, 2])],
  ReduceSum: [
    of("last axis", [[2, 3]], (x) => reduceSum(mul(x, x), [-1])),
    of("two axes, dropped", [[2, 3, 4]], (x) => reduceSum(mul(x, x), [0, 2], false)),
  ],
  ReduceMax: [],
  Reshape: [of("", [[2, 6]], (x) => reshape(mul(x, x), [3, "rest"]))],
  Transpose: [of("", [[2, 3, 4]], (x) => transpose(x, [2, 0, 1]))],
  Split: [
    of("", [[2, 6]], (x) => {
      const [a, b, c] = split(x, 3, 1) as [Value, Value, Value];
      return mul(add(a, b), c);
    }),
  ],
  Concat: [],
  RotaryEmbedding: [of("", [[1, 2, 3, 16]], (x) => rotary(x, frozen(x.graph, [3, 8]), frozen(x.graph, [3, 8], 5)))],
  Gather: [],
  GatherElements: [],
};

const GROUPS: Case[] = [
  of("gelu, exact", [[3, 5]], (x) => gelu(x, "none"), [-3, 3]),
  of("gelu, tanh", [[3, 5]], (x) => gelu(x, "tanh"), [-3, 3]),
  of(
    "attention",
    [
      [2, 2, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    (q, k, v) => {
      const inf = -3.4e38;
      const mask = q.graph.literal(Float32Array.of(0, inf, inf, 0, 0, inf, 0, 0, 0), [3, 3]);
      return attention(q, k, v, mask, 0.5);
    },
  ),
  of(
    "attention, two heads a key",
    [
      [2, 4, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    (q, k, v) => {
      const inf = -3.4e38;
      const mask = q.graph.literal(Float32Array.of(0, inf, inf, 0, 0, inf, 0, 0, 0), [3, 3]);
      return attention(q, k, v, mask, 0.5);
    },
  ),
  of(
    "attention, three heads a key, with dropout",
    [
      [2, 6, 3, 4],
      [2, 2, 3, 4],
      [2, 2, 3, 4],
    ],
    (q, k, v) => {
      const inf = -3.4e38;
      const causal = q.graph.literal(Float32Array.of(0, inf, inf, 0, 0, inf, 0, 0, 0), [3, 3]);
      const keep = greater(frozen(q.graph, [2, 6, 3, 3]), q.graph.scalar(-0.4));
      return attention(q, k, v, causal, 0.5, { keep, factor: 1 / 0.7 });
    },
  ),
  of("dropout", [[3, 5]], (x) =>
    dropout(x, { keep: greater(frozen(x.graph, [3, 5]), x.graph.scalar(-0.4)), factor: 1 / 0.7 }),
  ),
  of(
    "checkpoint, with a trainable that only the block uses and one that others use too",
    [
      [3, 4],
      [4, 4],
      [3, 4],
    ],
    (x, w, shared) => {
      const block = (y: Value) => add(mul(silu(matmul(y, w)), shared), y);
      return add(checkpoint(checkpoint(x, block), block), shared);
    },
  ),
  of("silu", [[3, 5]], silu, [-3, 3]),
  of("linearCrossEntropy", [[4, 3]], (h) =>
    linearCrossEntropy(
      h,
      frozen(h.graph, [6, 3]),
      indices(h.graph, 5n, 0n, 3n, 3n),
      h.graph.literal(Float32Array.of(1, 1, 0, 1), [4]),
    ),
  ),
  of(
    "loraLinear",
    [
      [4, 3],
      [2, 3],
      [5, 2],
    ],
    (x, a, b) =>
      loraLinear(
        x,
        { weight: frozen(x.graph, [3, 5]), transposed: false, bias: frozen(x.graph, [5]) },
        { a, b, scaling: x.graph.scalar(1.7) },
      ),
  ),
  of(
    "loraLinear, transposed base without bias, with a mask",
    [
      [4, 3],
      [2, 3],
      [5, 2],
    ],
    (x, a, b) => {
      const mask = greater(frozen(x.graph, [4, 3]), x.graph.scalar(0));
      return loraLinear(
        x,
        { weight: frozen(x.graph, [5, 3]), transposed: true },
        { a, b, scaling: x.graph.scalar(0.3), mask },
      );
    },
  ),
];

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Step of the difference quotient (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h, whose error is of order h⁴. */
const STEP = 0.02;
const STENCIL: [number, number][] = [[-2, 1], [-1, -8], [1, 8], [2, -1]]; // prettier-ignore

async function check({ shapes, build, low, high }: Case): Promise<void> {
  const graph = new Graph();
  const inputs = shapes.map((shape, i) => graph.input(`x${i}`, "float32", shape, { trainable: true }));
  const result = build(inputs);
  const weighted = mul(result, frozen(graph, result.shape as number[], 7));
  const axes = result.shape.map((_, axis) => axis);
  const loss = axes.length > 0 ? reduceSum(weighted, axes, false) : weighted;
  graph.output("loss", loss);
  for (const [i, gradient] of backward(loss, inputs).entries()) graph.output(`g${i}`, gradient);
  const run = await compile(graph);

  const point: Feeds = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, uniform(i + 1, size(shape), low, high)]));
  const at = await run(point);
  for (const [i, shape] of shapes.entries()) {
    const analytic = at[`g${i}`] as Float32Array;
    assert.equal(analytic.length, size(shape), `gradient ${i} has the input's size`);
    const numeric = new Float64Array(analytic.length);
    for (let element = 0; element < analytic.length; element++) {
      for (const [steps, weight] of STENCIL) {
        const moved = Float32Array.from(point[`x${i}`] as Float32Array);
        const before = moved[element] as number;
        moved[element] = before + steps * STEP;
        const { loss: shifted } = await run({ ...point, [`x${i}`]: moved });
        numeric[element]! += (weight * (shifted?.[0] as number)) / (12 * STEP);
      }
    }
    const largest = Math.max(...analytic.map(Math.abs), 1e-2);
    const error = Math.max(...analytic.map((g, element) => Math.abs(g - (numeric[element] as number))));
    assert.ok(error <= 1e-3 * largest, `input ${i}: off by ${error}, largest gradient ${largest}`);
    assert.ok(
      analytic.some((g) => g !== 0),
      `input ${i}: a gradient of zeros shows nothing`,
    );
  }
}

for (const [op, cases] of Object.entries(CASES)) {
  const differentiable = OPS[op as OpType].vjp.some((rule) => rule !== null);
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

for (const group of GROUPS) test(`group ${group.name}: gradient`, () => check(group));

test("look-ups refuse a gradient into their table instead of losing it", () => {
  const graph = new Graph();
  const table = graph.input("table", "float32", [4, 2], { trainable: true });
  assert.throws(() => gather(table, indices(graph, 1n)), /Gather has no gradient for input 0/);
  assert.throws(() => gatherElements(table, graph.literal(BigInt64Array.of(0n), [1, 1])), /no gradient|rows differ/);
  assert.throws(() => concat(table, frozen(graph, [1, 2]), 0), /Concat has no gradient/);
});
