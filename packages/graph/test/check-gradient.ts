/** Gradients against finite differences of the forward pass, on ONNX Runtime. */
import assert from "node:assert/strict";
import { backward, Graph, mul, reduceSum, type Value } from "@gradpool/graph";
import { compile, uniform, type Feeds } from "./evaluate.js";

export interface Case {
  name: string;
  /** Shapes of the trainable inputs; every one of them is perturbed. */
  shapes: number[][];
  build(inputs: Value[]): Value;
  /** Range of the inputs' values. */
  low?: number;
  high?: number;
}

export const of = (
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

export const indices = (graph: Graph, ...values: bigint[]) =>
  graph.literal(BigInt64Array.from(values), [values.length]);
/** A frozen matrix, the same for the same shape. */
export const frozen = (graph: Graph, shape: number[], seed = 99) =>
  graph.literal(
    uniform(
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Step of the difference quotient (f(−2h) − 8f(−h) + 8f(h) − f(2h)) / 12h, whose error is of order h⁴. */
const STEP = 0.02;
const STENCIL: [number, number][] = [[-2, 1], [-1, -8], [1, 8], [2, -1]]; // prettier-ignore

/** A graph of a weighted sum of the case's result and its gradients, and a point to take them at. */
export function gradientGraph({ shapes, build, low, high }: Case): { graph: Graph; point: Feeds } {
  const graph = new Graph();
  const inputs = shapes.map((shape, i) => graph.input(`x${i}`, "float32", shape, { trainable: true }));
  const result = build(inputs);
  const weighted = mul(result, frozen(graph, result.shape as number[], 7));
  const axes = result.shape.map((_, axis) => axis);
  const loss = axes.length > 0 ? reduceSum(weighted, axes, false) : weighted;
  graph.output("loss", loss);
  for (const [i, gradient] of backward(loss, inputs).entries()) graph.output(`g${i}`, gradient);
  const point: Feeds = Object.fromEntries(shapes.map((shape, i) => [`x${i}`, uniform(i + 1, size(shape), low, high)]));
  return { graph, point };
}

export async function check(example: Case): Promise<void> {
  const { shapes } = example;
  const { graph, point } = gradientGraph(example);
  const run = await compile(graph);
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
