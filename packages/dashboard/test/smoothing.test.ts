import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { movingAverage, smoothingIn } from "../web/smoothing.js";

const VALUES = [4, 3.5, 3.75, NaN, 3, 3.25, 2.5, 2.75];

/** polars 2.1.0: Series(VALUES, with null for NaN).ewm_mean(alpha=1 - weight, adjust=True, ignore_nulls=True). */
const POLARS: [weight: number, averages: number[]][] = [
  [
    0.6,
    [4, 3.6875, 3.7193877551020407, NaN, 3.3887867647058822, 3.328591256072172, 2.98093447905478, 2.8859003397508496],
  ],
  [
    0.9,
    [
      4,
      3.736842105263158,
      3.7416974169741697,
      NaN,
      3.526025007269555,
      3.458621279089644,
      3.2540320429230896,
      3.157419229442953,
    ],
  ],
];

describe("smoothing", () => {
  for (const [weight, averages] of POLARS) {
    test(`with weight ${weight} gives polars' averages`, () => {
      const found = movingAverage(Float64Array.from(VALUES), weight);
      assert.equal(found.length, averages.length);
      for (const [i, expected] of averages.entries()) {
        const difference = Math.abs((found[i] ?? 0) - expected);
        assert.ok(Number.isNaN(expected) ? Number.isNaN(found[i]) : difference < 1e-14, `${i}: ${found[i]}`);
      }
    });
  }

  test("of a constant is that constant, to the bit, and with weight 0 all is as it is", () => {
    const constant = new Float64Array(1000).fill(0.1);
    assert.deepEqual(movingAverage(constant, 0.97), constant);
    assert.deepEqual(movingAverage(Float64Array.from(VALUES), 0), Float64Array.from(VALUES));
  });

  test("is read from the URL within its bounds", () => {
    const of = (smooth: string) => smoothingIn(new URLSearchParams({ smooth }));
    assert.deepEqual(["0.6", "", "x", "-1", "1", "Infinity"].map(of), [0.6, 0, 0, 0, 0.99, 0]);
    assert.equal(smoothingIn(new URLSearchParams()), 0);
  });
});
