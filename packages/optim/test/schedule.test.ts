import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { cos, pow } from "../src/exact-math.js";
import { learningRate, warmupStepsOf, type Schedule } from "../src/index.js";
import { fixture } from "./support.js";

interface Case extends Partial<Schedule> {
  scheduler: string;
  base: number;
  warmupSteps: number;
  totalSteps: number;
  rates: number[];
}

/** As transformers has them. */
const DEFAULTS = { numCycles: 1, power: 1, lrEnd: 1e-7 };

for (const { scheduler, rates, ...given } of fixture<Case[]>("schedules.json")) {
  test(`${scheduler} ${JSON.stringify(given)}: the rates of transformers, to the last bit`, () => {
    const ours = rates.map((_, step) => learningRate(scheduler, step, { ...DEFAULTS, ...given }));
    assert.deepEqual(ours, rates);
    if (given.warmupSteps > 0) assert.equal(ours[0], 0);
  });
}

test("warm-up: steps as given, else a share of all, rounded up as transformers does", () => {
  const of = (warmupSteps: number, warmupRatio: number, total: number) =>
    warmupStepsOf({ warmupSteps, warmupRatio }, total);
  assert.deepEqual([of(0, 0, 40), of(7, 0, 40), of(0, 0.1, 40), of(0, 0.1, 41), of(0, 0.03, 100)], [0, 7, 4, 5, 3]);
  // 0.07 * 100 is 7.000000000000001 in floating point, in Python as here.
  assert.equal(of(0, 0.07, 100), 8);
});

test("cosine and power are correctly rounded", () => {
  assert.deepEqual([cos(0), cos(Math.PI), cos(-1), cos(1)], [1, -1, 0.5403023058681398, 0.5403023058681398]);
  // The nearest double to cos of the nearest double to pi / 2.
  assert.equal(cos(Math.PI / 2), 6.123233995736766e-17);
  for (const base of [1, 0.75, 0.1, 1 / 3, 1e-9]) assert.equal(pow(base, 1), base);
  for (const base of [1, 0.75, 0.1, 1 / 3, 1e-9]) assert.equal(pow(base, 2), base * base);
  for (const base of [1, 0.75, 0.1, 1 / 3, 1e-9]) assert.equal(pow(base, 0.5), Math.sqrt(base));
  assert.deepEqual([pow(0, 0), pow(0, 2), pow(0.5, 1000)], [1, 0, 2 ** -1000]);
});

test("an unknown scheduler is refused with the known ones", () => {
  assert.throws(
    () => learningRate("cosin", 0, { ...DEFAULTS, base: 1, warmupSteps: 0, totalSteps: 1 }),
    (error) => error instanceof GradpoolError && /"cosin"; choose constant, .*, inverse_sqrt/.test(error.message),
  );
});
