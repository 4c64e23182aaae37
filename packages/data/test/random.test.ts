import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { permutation, uint32Generator } from "../src/random.js";

describe("random order", () => {
  it("is a permutation that depends on every part of its key", () => {
    const orders = [
      [1, 2, 3],
      [1, 2, 4],
      [1, 3, 3],
      [2, 2, 3],
      [2, 1, 3],
      [1, 2],
    ].map((key) => permutation(50, key));
    for (const order of orders) {
      assert.deepEqual(
        Array.from(order).sort((a, b) => a - b),
        Array.from({ length: 50 }, (_, i) => i),
      );
    }
    assert.equal(new Set(orders.map(String)).size, orders.length);
    assert.deepEqual(permutation(50, [1, 2, 3]), orders[0]);
    assert.deepEqual(permutation(0, [1]), new Uint32Array());
    assert.deepEqual(permutation(1, [1]), new Uint32Array([0]));
  });

  it("takes seeds up to 2^53", () => {
    const keys = [0, 2 ** 32, 2 ** 53 - 1, 1];
    assert.equal(new Set(keys.map((seed) => String(permutation(20, [seed])))).size, keys.length);
  });

  it("gives all permutations of four about equally often", () => {
    const draws = 24_000;
    const counts = new Map<string, number>();
    for (let key = 0; key < draws; key++) {
      const order = String(permutation(4, [key, 0, 0]));
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    const expected = draws / 24;
    const chiSquared = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    assert.equal(counts.size, 24);
    // 99.99 % quantile with 23 degrees of freedom.
    assert.ok(chiSquared < 56.5, `chi-squared ${chiSquared}`);
  });

  it("uses all 32 bits", () => {
    const next = uint32Generator([5]);
    const draws = Array.from({ length: 10_000 }, next);
    for (let bit = 0; bit < 32; bit++) {
      const ones = draws.filter((draw) => (draw >>> bit) & 1).length;
      assert.ok(Math.abs(ones - 5_000) < 250, `bit ${bit}: ${ones}`);
    }
    assert.ok(draws.every((draw) => Number.isInteger(draw) && draw >= 0 && draw < 2 ** 32));
  });
});
