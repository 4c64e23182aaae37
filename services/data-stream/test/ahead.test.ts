import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ahead } from "../src/ahead.js";
import { collect } from "./helpers.js";

/** Numbers up to `count`; reports how many were made and whether it was ended. */
function counter(count: number) {
  const state = { made: 0, ended: false };
  async function* numbers() {
    try {
      while (state.made < count) yield state.made++;
      if (count === 7) throw new Error("seven");
    } finally {
      state.ended = true;
    }
  }
  return { state, numbers: numbers() };
}

describe("ahead", () => {
  it("gives all values in order", async () => {
    assert.deepEqual(await collect(ahead(counter(5).numbers, 3)), [0, 1, 2, 3, 4]);
    assert.deepEqual(await collect(ahead(counter(0).numbers, 3)), []);
  });

  it("prepares at most that many", async () => {
    const { state, numbers } = counter(100);
    let taken = 0;
    for await (const value of ahead(numbers, 4)) {
      assert.equal(value, taken++);
      assert.ok(state.made <= taken + 4);
      // All that is asked for ahead is made before the queue of promise jobs is empty.
      await new Promise(setImmediate);
      assert.equal(state.made, Math.min(100, taken + 3));
    }
    assert.equal(taken, 100);
  });

  it("gives the values before a failure, then the failure", async () => {
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const value of ahead(counter(7).numbers, 20)) seen.push(value);
    }, /seven/);
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6]);
  });

  it("ends its source when its reader leaves", async () => {
    const { state, numbers } = counter(1000);
    for await (const value of ahead(numbers, 4)) if (value === 10) break;
    assert.ok(state.ended && state.made < 20);
  });
});
