import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, count, counted, duration, localTime, rowLines, rowsText } from "../src/index.js";

test("counts have commas, and their nouns an s where there are several", () => {
  assert.equal(count(125_250_816), "125,250,816");
  assert.equal(count(-1_000), "-1,000");
  assert.deepEqual(
    [0, 1, 2, 1_000].map((value) => counted(value, "row")),
    ["0 rows", "1 row", "2 rows", "1,000 rows"],
  );
});

test("durations are h:mm:ss, rounded, and never negative", () => {
  assert.deepEqual([-3, 0, 59.4, 59.5, 3_600, 360_000].map(duration), [
    ...["0:00:00", "0:00:00", "0:00:59", "0:01:00", "1:00:00", "100:00:00"],
  ]);
});

test("bytes are in decimal units, with one place from kB on", () => {
  assert.deepEqual([0, 999, 1_000, 1_234_567, 25e9, 7e15].map(bytes), [
    ...["0 B", "999 B", "1.0 kB", "1.2 MB", "25.0 GB", "7000.0 TB"],
  ]);
});

test("times are local, to the second", () => {
  assert.equal(localTime(new Date(2026, 0, 31, 3, 9, 5)), "2026-01-31 03:09:05");
});

test("what there is to say of rows agrees in number and time", () => {
  const none = { rows: 9, rowsCut: 0, rowsWithoutEos: 0, rowsWithoutTarget: 0, stepsWithoutTarget: 0 };
  const say = (counts: Partial<typeof none>, past = false) => rowLines({ ...none, ...counts }, 128, "of 9 rows", past);
  assert.deepEqual(say({}), []);
  assert.deepEqual(say({ rowsCut: 1, rowsWithoutEos: 1, rowsWithoutTarget: 1 }), [
    "1 of 9 rows is longer than --max_length 128 and is cut, which removes its end-of-sequence token",
    "1 of 9 rows has no target: nothing in it counts in the loss",
  ]);
  assert.deepEqual(say({ rowsCut: 3, rowsWithoutEos: 2, rowsWithoutTarget: 2, stepsWithoutTarget: 1 }, true), [
    "3 of 9 rows were longer than --max_length 128 and were cut, which removed the end-of-sequence token of 2",
    "2 of 9 rows had no target: nothing in them counted in the loss",
    "1 step was left out, since no row in it had a target",
  ]);
  assert.deepEqual([rowsText(1, { packing: false }), rowsText(2, { packing: true })], ["1 row", "2 blocks"]);
  assert.equal(rowsText(2, { packing: true, packingStrategy: "bfd" }), "2 rows");
});
