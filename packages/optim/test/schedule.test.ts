import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { learningRate } from "../src/index.js";
import { fixture } from "./support.js";

interface Case {
  scheduler: string;
  base: number;
  warmupSteps: number;
  totalSteps: number;
  rates: number[];
}

for (const run of fixture<Case[]>("schedules.json")) {
  const { scheduler, base, warmupSteps, totalSteps, rates } = run;
  test(`${scheduler}, ${warmupSteps} of ${totalSteps} steps warm-up: the rates of transformers`, () => {
    const ours = rates.map((_, step) => learningRate(scheduler, step, run));
    // Only cos may differ, in the last bit of a float64.
    const tolerance = scheduler === "cosine" ? base * 2 ** -52 : 0;
    rates.forEach((rate, step) => assert.ok(Math.abs((ours[step] ?? NaN) - rate) <= tolerance, `step ${step}`));
    if (warmupSteps > 0) assert.equal(ours[0], 0);
  });
}

test("an unknown scheduler is refused with the known ones", () => {
  assert.throws(
    () => learningRate("cosin", 0, { base: 1, warmupSteps: 0, totalSteps: 1 }),
    (error) => error instanceof GradpoolError && /"cosin"; choose constant, linear, cosine/.test(error.message),
  );
});
