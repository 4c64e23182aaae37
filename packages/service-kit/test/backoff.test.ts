import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../src/index.js";

const BOUNDS = { firstMs: 100, longestMs: 1_000 };
const five = (backoff: Backoff) => Array.from({ length: 5 }, () => backoff.nextMs());

test("pauses double up to the longest, and begin again after a success", () => {
  const backoff = new Backoff(BOUNDS, () => 0);
  assert.deepEqual(five(backoff), [100, 200, 400, 800, 1_000]);
  backoff.reset();
  assert.deepEqual(five(backoff), [100, 200, 400, 800, 1_000]);
});

test("each is shorter by up to half at random", () => {
  assert.deepEqual(five(new Backoff(BOUNDS, () => 1)), [50, 100, 200, 400, 500]);
  const pauses = new Set(Array.from({ length: 100 }, () => new Backoff(BOUNDS).nextMs()));
  assert.ok(pauses.size > 50 && [...pauses].every((ms) => ms > 50 && ms <= 100));
});

test("a thousand failures later it is still the longest", () => {
  const backoff = new Backoff(BOUNDS, () => 0);
  for (let i = 0; i < 2_000; i++) backoff.nextMs();
  assert.equal(backoff.nextMs(), 1_000);
});

test("a pause ends with its signal", async () => {
  const controller = new AbortController();
  const paused = new Backoff({ firstMs: 60_000, longestMs: 60_000 }).pause(controller.signal);
  controller.abort();
  await assert.rejects(paused, { name: "AbortError" });
});
