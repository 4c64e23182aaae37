import assert from "node:assert/strict";
import { test } from "node:test";
import { smoothed } from "../src/smoothing.js";

test("a constant stays constant from the first value on", () => {
  const values = smoothed(Array.from({ length: 50 }, () => 3)) ?? [];
  assert.equal(values.length, 50);
  for (const value of values) assert.ok(Math.abs(value - 3) < 1e-12);
});

test("noise around a level becomes small", () => {
  const values = smoothed(Array.from({ length: 400 }, (_, i) => 2 + (i % 2 === 0 ? 1 : -1))) ?? [];
  assert.ok(Math.abs((values.at(-1) ?? 0) - 2) < 0.06);
});

test("few values are not smoothed, and what is not finite does not spread", () => {
  assert.equal(smoothed([1, 2, 3]), undefined);
  const values = smoothed([...Array.from({ length: 12 }, () => 1), Infinity, 1, NaN, 1]) ?? [];
  assert.ok(Number.isNaN(values[12]) && Number.isNaN(values[14]));
  assert.equal(values.at(-1), 1);
});
