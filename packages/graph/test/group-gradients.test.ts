/** The gradients of groups, which know a cheaper way than the chain rule, against finite differences. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { doraNorms, Graph } from "@gradpool/graph";
import { check } from "./check-gradient.js";
import { compile, uniform } from "./evaluate.js";
import { GROUP_CASES } from "./group-cases.js";

for (const group of GROUP_CASES) test(`group ${group.name}: gradient`, () => check(group));

for (const transposed of [false, true]) {
  test(`doraNorms, ${transposed ? "[out, in]" : "[in, out]"}`, async () => {
    const [inFeatures, outFeatures, r, scaling] = [3, 5, 2, 1.7];
    const [w, a, b] = [uniform(1, 15), uniform(2, 6), uniform(3, 10)];
    const weightAt = (o: number, i: number) => w[transposed ? o * inFeatures + i : i * outFeatures + o]!;
    const squares = new Float64Array(outFeatures);
    const expected = new Float64Array(outFeatures);
    for (let o = 0; o < outFeatures; o++) {
      for (let i = 0; i < inFeatures; i++) {
        const change = b[o * r]! * a[i]! + b[o * r + 1]! * a[inFeatures + i]!;
        squares[o]! += weightAt(o, i) ** 2;
        expected[o]! += (weightAt(o, i) + scaling * change) ** 2;
      }
    }
    const graph = new Graph();
    const weight = graph.literal(w, transposed ? [outFeatures, inFeatures] : [inFeatures, outFeatures]);
    const branch = {
      ...{ a: graph.input("a", "float32", [r, inFeatures]), b: graph.input("b", "float32", [outFeatures, r]) },
      ...{ scaling: graph.scalar(scaling), magnitude: graph.input("m", "float32", [outFeatures]) },
      squaredNorms: graph.literal(Float32Array.from(squares), [outFeatures]),
    };
    graph.output("norms", doraNorms({ weight, transposed }, branch));
    const { norms } = await (await compile(graph))({ a, b });
    for (const [o, square] of expected.entries()) assert.ok(Math.abs(norms![o]! / Math.sqrt(square) - 1) < 1e-6);
  });
}
