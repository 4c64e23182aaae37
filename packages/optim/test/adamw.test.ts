import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { AdamW, clipGradNorm } from "../src/index.js";
import { fixture, floats, named, ulps } from "./support.js";

interface Case {
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  maxNorm: number;
  start: string[];
  steps: { learningRate: number; gradients: string[]; norm?: string; clipped?: string[] }[];
  /** With correctly rounded square roots. */
  end: { parameter: string; expAvg: string; expAvgSq: string }[];
  /** Parameters with MKL's square roots, off by one unit in the last place now and then. */
  endAsIs: string[];
}

const CASES = fixture<Record<string, Case>>("adamw.json");

for (const [name, run] of Object.entries(CASES)) {
  test(`AdamW, ${name}: the bits of torch.optim.AdamW`, () => {
    const parameters = named(run.start);
    const optimizer = new AdamW(parameters, run);
    for (const { learningRate, gradients, clipped } of run.steps) {
      optimizer.step(named(clipped ?? gradients), learningRate);
    }
    run.end.forEach((end, i) => {
      const { expAvg, expAvgSq } = optimizer.state.moments.get(String(i)) ?? assert.fail();
      const distances = {
        parameter: ulps(parameters.get(String(i))!.data, floats(end.parameter)),
        expAvg: ulps(expAvg, floats(end.expAvg)),
        expAvgSq: ulps(expAvgSq, floats(end.expAvgSq)),
      };
      assert.deepEqual(distances, { parameter: 0, expAvg: 0, expAvgSq: 0 });
      const asIs = floats(run.endAsIs[i] ?? "");
      const largest = Math.max(...asIs.map(Math.abs));
      parameters.get(String(i))!.data.forEach((value, k) => assert.ok(Math.abs(value - asIs[k]!) <= 1e-7 * largest));
    });
  });
}

for (const name of ["clipped", "huge gradients"]) {
  test(`clipGradNorm, ${name}: norm and gradients of clip_grad_norm_`, () => {
    const { maxNorm, steps } = CASES[name] ?? assert.fail();
    for (const { gradients, norm, clipped } of steps) {
      const tensors = named(gradients);
      // torch sums in float32, so the last bits of its norm are its own.
      assert.ok(ulps(Float32Array.of(clipGradNorm(tensors, maxNorm)), floats(norm ?? "")) <= 2);
      clipped?.forEach((hex, i) => assert.ok(ulps(tensors.get(String(i))!.data, floats(hex)) <= 4));
    }
  });
}

test("clipGradNorm leaves small gradients and a maximum of 0 alone", () => {
  const gradients = () =>
    new Map([
      ["a", { data: Float32Array.of(3, 0) }],
      ["b", { data: Float32Array.of(4) }],
    ]);
  for (const maxNorm of [0, 5.1]) {
    const tensors = gradients();
    assert.equal(clipGradNorm(tensors, maxNorm), 5);
    assert.deepEqual(tensors, gradients());
  }
  const tensors = gradients();
  assert.equal(clipGradNorm(tensors, 1), 5);
  assert.ok(Math.abs(clipGradNorm(tensors, 0) - 1) < 1e-6);
});

test("gradients whose squares overflow float32 are clipped, those that are not finite stay visible", () => {
  const huge = new Map([["a", { data: Float32Array.of(3e30, 4e30) }]]);
  assert.equal(clipGradNorm(huge, 1), Math.fround(5e30));
  assert.ok(Math.abs((huge.get("a")?.data[0] ?? 0) - 0.6) < 1e-6);
  assert.ok(Number.isNaN(clipGradNorm(new Map([["a", { data: Float32Array.of(NaN, 1) }]]), 1)));
});

test("a run resumed from its saved state gives the same bits", () => {
  const run = CASES["decay"] ?? assert.fail();
  const parameters = named(run.start);
  let optimizer = new AdamW(parameters, run);
  run.steps.forEach(({ learningRate, gradients }, i) => {
    if (i === 20) optimizer = new AdamW(parameters, run, optimizer.state);
    optimizer.step(named(gradients), learningRate);
  });
  assert.equal(optimizer.state.step, 50);
  run.end.forEach(({ parameter }, i) => assert.equal(ulps(parameters.get(String(i))!.data, floats(parameter)), 0));
});

test("a state of other tensors is refused", () => {
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
  const tensors = (...sizes: [string, number][]) =>
    new Map(sizes.map(([name, size]) => [name, { data: new Float32Array(size) }]));
  const { state } = new AdamW(tensors(["a", 2], ["b", 3]), options);
  for (const other of [tensors(["a", 2]), tensors(["a", 2], ["b", 4]), tensors(["a", 2], ["b", 3], ["c", 1])]) {
    assert.throws(
      () => new AdamW(other, options, state),
      (error) => error instanceof GradpoolError && error.code === "data_loss",
    );
  }
});

test("a gradient that does not fit changes nothing", () => {
  const parameters = new Map([
    ["a", { data: new Float32Array(2) }],
    ["b", { data: new Float32Array(2) }],
  ]);
  const optimizer = new AdamW(parameters, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 });
  const gradients = new Map([
    ["a", { data: Float32Array.of(1, 1) }],
    ["b", { data: Float32Array.of(1) }],
  ]);
  assert.throws(() => optimizer.step(gradients, 1), /gradient of b: 1 values instead of 2/);
  assert.deepEqual([optimizer.state.step, parameters.get("a")?.data[0]], [0, 0]);
});
