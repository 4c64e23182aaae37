/** Uses of ops in which a device's kernel might differ from the processor's: odd and large shapes, and extreme values. */
import {
  add,
  attention,
  cast,
  concat,
  div,
  erf,
  exp,
  expand,
  gather,
  gatherElements,
  geluForward,
  gemm,
  greater,
  layerNorm,
  linearCrossEntropy,
  log,
  matmul,
  mul,
  reduceSum,
  relu,
  reshape,
  rmsNorm,
  rotary,
  rowMax,
  sigmoid,
  softmax,
  split,
  splitInto,
  sqrt,
  sub,
  transpose,
  where,
  type Value,
} from "@gradpool/graph";
import { frozen } from "./check-gradient.js";
import { uniform, type Feeds } from "./evaluate.js";

export interface DeviceCase {
  name: string;
  inputs: { shape: number[]; data: Feeds[string] }[];
  build(inputs: Value[]): Value;
}

type Input = DeviceCase["inputs"][number];

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const floats = (...shape: number[]): Input => ({ shape, data: uniform(shape.length + 3, size(shape), -2, 2) });
/** A sum of these keeps its digits. */
const positives = (...shape: number[]): Input => ({ shape, data: uniform(1, size(shape), 0.5, 2) });
const exactly = (shape: number[], ...values: number[]): Input => ({ shape, data: Float32Array.from(values) });
const whole = (shape: number[], ...values: number[]): Input => ({ shape, data: BigInt64Array.from(values, BigInt) });
/** Two thirds true. */
const flags = (...shape: number[]): Input => ({
  shape,
  data: Uint8Array.from({ length: size(shape) }, (_, i) => Number(i % 3 > 0)),
});
const on = (name: string, inputs: Input[], build: (...inputs: Value[]) => Value): DeviceCase => ({
  name,
  inputs,
  build: (values) => build(...values),
});

/** As masks have it. */
const LOWEST = -3.4028234663852886e38;
const EXTREMES = [0, -0, 1e-30, -1e-7, 1e-3, -0.5, 1, -3, 10, -20, 50, -87, 88, 89, -104, 1e4, -1e9, 1e30, LOWEST];
const SPECIAL = [...EXTREMES, Infinity, -Infinity];
const positive = EXTREMES.filter((x) => x > 0);
const row = (values: readonly number[]) => exactly([values.length], ...values);

const elementwise: DeviceCase[] = [
  ...(
    [
      ["exp", exp],
      ["sigmoid", sigmoid],
      ["erf", erf],
      ["relu", relu],
      ["gelu, exact", (x) => geluForward(x, "none")],
      ["gelu, tanh", (x) => geluForward(x, "tanh")],
    ] as [string, (x: Value) => Value][]
  ).flatMap(([name, op]) => [
    on(`${name}: extremes`, [row(SPECIAL)], op),
    on(`${name}: many`, [floats(7, 1001)], (x) => op(mul(x, x.graph.scalar(4)))),
  ]),
  on("sqrt", [row([0, ...positive, Infinity])], sqrt),
  on("log", [row([...positive, Infinity])], log),
  on("add, sub, mul and div of extremes", [row(SPECIAL)], (x) => {
    const other = x.graph.literal(Float32Array.from(SPECIAL).reverse(), [SPECIAL.length]);
    const results = [add(x, other), sub(x, other), mul(x, other), div(x, other)];
    return results.map((y) => reshape(y, [1, SPECIAL.length])).reduce((a, b) => concat(a, b, 0));
  }),
  on("broadcasts", [floats(5, 1, 3), floats(7, 1)], (a, b) => div(add(a, b), add(mul(a, a), a.graph.scalar(1)))),
  on("a scalar", [floats(129), floats()], mul),
  on("greater and where", [row(SPECIAL), floats(3, SPECIAL.length)], (a, b) => where(greater(a, b), a, b)),
  on("flags to numbers, 15", [flags(3, 5)], (x) => cast(x, "float32")),
  on("flags to numbers, 1", [flags(1)], (x) => cast(x, "float32")),
  on("flags to numbers, many", [flags(37, 111)], (x) => cast(x, "float32")),
  on("flags to numbers, by heads", [flags(2, 3, 5, 5)], (x) => mul(cast(x, "float32"), frozen(x.graph, [2, 3, 5, 5]))),
];

const products: DeviceCase[] = [
  ...(
    [
      [1, 1, 1],
      [1, 7, 3],
      [5, 1, 4],
      [33, 129, 65],
      [128, 64, 256],
      [17, 4099, 5],
      [3, 64, 4097],
    ] as [number, number, number][]
  ).flatMap(([m, k, n]) =>
    [0, 1, 2, 3].map((turned) => {
      const [transA, transB] = [turned % 2 === 1, turned > 1];
      return on(
        `matmul ${[m, k, n].join("·")}${transA ? " Aᵀ" : ""}${transB ? " Bᵀ" : ""}`,
        [floats(...(transA ? [k, m] : [m, k])), floats(...(transB ? [n, k] : [k, n]))],
        (a, b) => matmul(a, b, { transA, transB, alpha: 0.3 }),
      );
    }),
  ),
  ...[0, 1, 2, 3].map((turned) => {
    const [transA, transB] = [turned % 2 === 1, turned > 1];
    return on(
      `matmul of batches${transA ? " Aᵀ" : ""}${transB ? " Bᵀ" : ""}`,
      [floats(2, 3, ...(transA ? [9, 5] : [5, 9])), floats(2, 3, ...(transB ? [7, 9] : [9, 7]))],
      (a, b) => matmul(a, b, { transA, transB, alpha: 0.3 }),
    );
  }),
  on("matmul of no rows", [floats(0, 8), floats(5, 8)], (a, b) => matmul(a, b, { transB: true })),
  on("matmul with infinity", [exactly([1, 2], Infinity, 1), floats(2, 3)], (a, b) => matmul(a, b)),
  on("gemm with a row", [floats(31, 65), floats(65, 127), floats(127)], (a, b, c) => gemm(a, b, c)),
  on("gemm, one row", [floats(1, 65), floats(65, 1), floats(1)], (a, b, c) => gemm(a, b, c)),
  on("gemm, Bᵀ, with a matrix", [floats(31, 65), floats(127, 65), floats(31, 127)], (a, b, c) =>
    gemm(a, b, c, { transB: true }),
  ),
];

const norms: DeviceCase[] = [1, 5, 64, 1023].flatMap((width) => {
  const [weight, bias] = [floats(width), floats(width)];
  const rows: [string, Input][] = [
    ["", floats(3, width)],
    ["rows of zeros", exactly([2, width], ...new Float32Array(2 * width))],
    ["far from zero", { shape: [2, width], data: uniform(1, 2 * width, 9.5, 10.5) }],
    ["tiny", { shape: [2, width], data: uniform(1, 2 * width, -1e-6, 1e-6) }],
    ["huge", { shape: [2, width], data: uniform(1, 2 * width, -1e15, 1e15) }],
  ];
  return rows.flatMap(([name, x]) => [
    on(`layerNorm ${width} ${name}`, [x, weight, bias], (x, w, b) => layerNorm(x, w, b, 1e-5)),
    on(`rmsNorm ${width} ${name}`, [x, weight], (x, w) => rmsNorm(x, w, 1e-6)),
  ]);
});

const rows: DeviceCase[] = [
  ...[1, 3, 64, 65, 4097].map((width) => on(`softmax ${width}`, [floats(5, width)], softmax)),
  on("softmax of extremes", [exactly([2, 3], 1e30, 1, -1e30, 88, 89, -104)], softmax),
  on("softmax, partly masked", [exactly([2, 3], 1, LOWEST, 2, LOWEST, LOWEST, -1)], softmax),
  on("softmax, wholly masked", [exactly([2, 3], ...new Array<number>(6).fill(LOWEST))], softmax),
  on("softmax by heads", [floats(2, 3, 5, 7)], softmax),
  ...[1, 3, 64, 65, 50_257].map((width) => on(`rowMax ${width}`, [floats(3, width)], rowMax)),
  on("rowMax of extremes", [exactly([2, 3], LOWEST, -Infinity, LOWEST, Infinity, 1, 2)], rowMax),
  on("reduceSum, last of 4097", [positives(3, 4097)], (x) => reduceSum(x, [-1])),
  on("reduceSum, first of 4097", [positives(4097, 3)], (x) => reduceSum(x, [0], false)),
  on("reduceSum, all of 5·7·11", [positives(5, 7, 11)], (x) => reduceSum(x, [0, 1, 2], false)),
  on("reduceSum, outer two", [positives(5, 7, 11)], (x) => reduceSum(x, [0, 2])),
  on(
    "linearCrossEntropy of 5003 tokens",
    [floats(7, 5), floats(5003, 5), whole([7], 0, 5002, 77, 1, 2, 3, 3)],
    (h, e, t) => linearCrossEntropy(h, e, t, h.graph.literal(Float32Array.of(1, 1, 0, 1, 0.5, 1, 1), [7])),
  ),
];

const moves: DeviceCase[] = [
  ...[
    [1, 0, 2, 3],
    [0, 2, 1, 3],
    [0, 1, 3, 2],
    [3, 2, 1, 0],
  ].map((perm) => on(`transpose ${perm.join("")}`, [floats(3, 5, 7, 2)], (x) => transpose(x, perm))),
  on("transpose of 6 axes", [floats(2, 3, 2, 2, 2, 3)], (x) => transpose(x, [0, 2, 3, 1, 5, 4])),
  on("transpose 65·129", [floats(65, 129)], (x) => transpose(x, [1, 0])),
  on("expand", [floats(2, 1, 3)], (x) => expand(x, [4, 2, 5, 3])),
  on("split in two and three", [floats(3, 6, 5)], (x) => {
    const [a, b] = splitInto(x, [2, 4], 1) as [Value, Value];
    return concat(b, split(a, 2, 1)[1] as Value, 1);
  }),
  on("concat, odd", [floats(3, 5), floats(3, 2)], (a, b) => concat(a, b, 1)),
  on("gather", [floats(70_001, 3), whole([2, 2], 70_000, 0, 65_537, 3)], gather),
  on("gather of nothing", [floats(5, 3), whole([0])], gather),
  on("gatherElements", [floats(3, 50_257), whole([3, 1], 50_256, 0, 777)], gatherElements),
  on("rotary", [floats(2, 3, 5, 16)], (x) => rotary(x, frozen(x.graph, [5, 8]), frozen(x.graph, [5, 8], 5))),
  on("rotary by positions", [floats(2, 3, 5, 6), whole([2, 5], 0, 1, 2, 0, 1, 4, 3, 2, 1, 0)], (x, positions) =>
    rotary(x, frozen(x.graph, [5, 3]), frozen(x.graph, [5, 3], 5), positions),
  ),
  on("attention, first position alone and one wholly masked", [floats(2, 4, 3, 6), floats(2, 2, 3, 6)], (q, k) => {
    const mask = q.graph.literal(Float32Array.of(0, LOWEST, LOWEST, LOWEST, LOWEST, LOWEST, 0, 0, 0), [3, 3]);
    return attention(q, k, k, mask, 0.4);
  }),
];

export const DEVICE_CASES: readonly DeviceCase[] = [...elementwise, ...products, ...norms, ...rows, ...moves];
