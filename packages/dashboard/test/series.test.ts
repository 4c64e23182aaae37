import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decimate, Series, ticks } from "../web/series.js";

describe("series", () => {
  test("hold any number of steps, column by column", () => {
    const series = new Series(["step", "loss"]);
    assert.equal(series.last("step"), undefined);
    for (let step = 1; step <= 5_000; step++) series.push({ step, loss: 1 / step });
    assert.equal(series.length, 5_000);
    assert.deepEqual([...series.column("step").subarray(1_022, 1_026)], [1_023, 1_024, 1_025, 1_026]);
    assert.equal(series.last("loss"), 1 / 5_000);
    assert.equal(series.meanOfLast("step", 3), 4_999);
  });
});

describe("decimating", () => {
  test("keeps few points as they are, and leaves out what is not a number", () => {
    const points = decimate(Float64Array.of(1, 2, 3), Float64Array.of(5, NaN, 7), 10);
    assert.deepEqual(points, [
      { x: 1, y: 5 },
      { x: 3, y: 7 },
    ]);
    assert.deepEqual(decimate(new Float64Array(0), new Float64Array(0), 10), []);
  });

  test("of 200,000 steps loses neither peak nor trough, nor the order", () => {
    const xs = Float64Array.from({ length: 200_000 }, (_, i) => i + 1);
    const ys = xs.map((x) => Math.sin(x / 1000));
    ys[77_777] = 9;
    ys[123_456] = -9;
    const points = decimate(xs, ys, 800);
    assert.ok(points.length <= 1600 && points.length > 800, String(points.length));
    assert.ok(points.some(({ x, y }) => x === 77_778 && y === 9));
    assert.ok(points.some(({ x, y }) => x === 123_457 && y === -9));
    for (let i = 1; i < points.length; i++) assert.ok((points[i]?.x ?? 0) > (points[i - 1]?.x ?? 0));
  });
});

describe("ticks", () => {
  test("are round and within the range", () => {
    assert.deepEqual(ticks(0.3, 9.7, 4), [5]);
    assert.deepEqual(ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
    assert.deepEqual(ticks(3, 3, 4), [3]);
    for (const [low, high] of [
      [1e-9, 3e-9],
      [-5, 5],
      [1, 1e6],
    ] as const) {
      const found = ticks(low, high, 5);
      assert.ok(found.length >= 2 && found.length <= 7, String(found));
      assert.ok(found.every((tick) => tick >= low && tick <= high));
    }
  });
});
