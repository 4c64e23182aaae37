/** Products with weights in float16: widened where they are used, or multiplied as halves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { adaptedLinear, backward, cast, Graph, mul, reduceSum } from "@gradpool/graph";
import { compile, uniform } from "./evaluate.js";

const [N, IN, OUT] = [4, 6, 5];
const X = uniform(1, N * IN);

interface Options {
  halfProducts: boolean;
  half: boolean;
  transposed: boolean;
  lossScale?: number;
}

/** y = x·W + bias, and the gradient of the sum of y² times a loss scale, W being the same numbers in both dtypes. */
async function run({ halfProducts, half, transposed, lossScale = 1 }: Options) {
  const graph = new Graph(halfProducts);
  const x = graph.input("x", "float32", [N, IN], { trainable: true });
  // Sixteenths, which float16 holds.
  const values = uniform(2, IN * OUT).map((value) => Math.round(16 * value) / 16);
  const stored = graph.literal(values, transposed ? [OUT, IN] : [IN, OUT]);
  const weight = half ? cast(stored, "float16") : stored;
  const bias = graph.literal(uniform(3, OUT), [OUT]);
  const y = adaptedLinear(x, { weight, transposed, bias }, undefined);
  const loss = reduceSum(mul(y, y), [0, 1], false);
  const [gradient] = backward(mul(loss, graph.scalar(lossScale)), [x]);
  graph.output("y", y);
  graph.output("gradient", gradient ?? assert.fail());
  return (await compile(graph))({ x: X });
}

const error = (a: Float32Array | undefined, b: Float32Array | undefined) =>
  Math.max(...(a ?? []).map((value, i) => Math.abs(value - (b?.[i] ?? Infinity))));

for (const transposed of [false, true]) {
  test(`widened where it is used, ${transposed ? "[out, in]" : "[in, out]"}: the bits of float32`, async () => {
    const expected = await run({ halfProducts: false, half: false, transposed });
    const actual = await run({ halfProducts: false, half: true, transposed });
    assert.equal(actual["y"]?.length, N * OUT);
    assert.deepEqual(actual, expected);
  });

  // The processor's provider has no kernels for it: ONNX Runtime computes these in float32 and leaves the roundings out.
  test(`multiplied as halves, ${transposed ? "[out, in]" : "[in, out]"}: the same products`, async () => {
    const expected = await run({ halfProducts: false, half: false, transposed });
    const actual = await run({ halfProducts: true, half: true, transposed });
    for (const name of ["y", "gradient"]) assert.ok(error(actual[name], expected[name]) < 1e-5, name);
  });
}

test("a loss scale is in the gradient, to the bit, and not in the result", async () => {
  const [one, scaled] = [1, 2 ** 16].map((lossScale) =>
    run({ halfProducts: false, half: true, transposed: false, lossScale }),
  );
  const { y, gradient } = (await one) ?? {};
  const { y: sameY, gradient: larger } = (await scaled) ?? {};
  assert.deepEqual(sameY, y);
  assert.deepEqual(
    larger,
    gradient?.map((value) => value * 2 ** 16),
  );
});
