import assert from "node:assert/strict";
import { test } from "node:test";
import { labelsOf, lookOf, MAX_PLOTTED_RUNS } from "@gradpool/plots";

test("each of the most runs that a picture has looks different", () => {
  const looks = Array.from({ length: MAX_PLOTTED_RUNS }, (_, i) => JSON.stringify(lookOf(i)));
  assert.equal(new Set(looks).size, MAX_PLOTTED_RUNS);
});

test("runs are called by their names, and by more where a name is shared", () => {
  const runs = [
    { runName: "nightly", distinction: "run-1" },
    { runName: "", distinction: "out" },
    { runName: "once", distinction: "run-3" },
    { runName: "nightly", distinction: "run-4" },
  ];
  assert.deepEqual(labelsOf(runs), ["nightly (run-1)", "out", "once", "nightly (run-4)"]);
});
