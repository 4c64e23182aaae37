import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { RUN_COLORS } from "@gradpool/plots";
import { drawn, summaryOf, tableSteps, valueAt } from "../web/curves.js";

const xs = Float64Array.from({ length: 100 }, (_, i) => i + 1);
const noisy = xs.map((x) => 5 - x / 50 + (x % 2));

describe("a curve", () => {
  test("is its values, and smoothed has them behind it", () => {
    const plain = drawn({ name: "a", xs, ys: noisy }, 0, 400);
    assert.deepEqual([plain.points.length, plain.raw.length], [100, 0]);
    const smooth = drawn({ name: "a", xs, ys: noisy }, 0.9, 400);
    assert.deepEqual(smooth.raw, plain.points);
    const jumps = (points: readonly { y: number }[]) =>
      points.slice(1).reduce((sum, { y }, i) => sum + Math.abs(y - (points[i]?.y ?? 0)), 0);
    assert.ok(jumps(smooth.points) < jumps(smooth.raw) / 5);
  });

  test("has at each step the value of the last one before it", () => {
    const curve = { xs: Float64Array.of(2, 4, 6), ys: Float64Array.of(20, 40, 60) };
    assert.deepEqual(
      [1, 2, 3, 4, 6, 7].map((x) => valueAt(curve, x)),
      [undefined, 20, 20, 40, 60, undefined],
    );
    assert.equal(valueAt({ xs: new Float64Array(), ys: new Float64Array() }, 1), undefined);
  });
});

test("a chart's table has few rows, its first and last step among them, and several curves one summary", () => {
  const curves = [
    drawn({ name: "a", xs, ys: noisy }, 0, 400),
    drawn({ name: "b", xs: xs.map((x) => x + 7), ys: noisy }, 0, 400),
  ];
  const steps = tableSteps(curves);
  assert.ok(steps.length > 10 && steps.length <= 21, String(steps.length));
  assert.deepEqual([steps[0], steps.at(-1)], [1, 107]);
  assert.equal(summaryOf(curves, String), "of 2 runs");
  assert.equal(summaryOf(curves.slice(0, 1), String), "5.98 at step 1, 3 at step 100");
});

test("runs have the colours of gradpool run plot", () => {
  const css = readFileSync(new URL("../../web/dashboard.css", import.meta.url), "utf8");
  const [light = ""] = css.split("@media");
  const colors = RUN_COLORS.map((_, i) => new RegExp(`--run-${i}: (#\\w+);`).exec(light)?.[1]);
  assert.deepEqual(colors, [...RUN_COLORS]);
});
