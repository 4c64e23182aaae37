/** Decisions based on evaluations, compared with transformers' callback. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { defaultRecipe } from "@gradpool/recipe";
import { bestOf, isEvaluationDue, stopsEarly } from "../src/runs/evaluations.js";

interface Case {
  patience: number;
  threshold: number;
  losses: number[];
  stop: number | null;
  best: number;
}

const file = new URL("../../test/fixtures/early-stopping.json", import.meta.url);
const CASES = JSON.parse(readFileSync(file, "utf8")) as Case[];

/** After every second step. */
const evaluationsOf = (losses: readonly number[]) =>
  losses.map((loss, i) => ({ step: 2 * (i + 1), epoch: 0, loss, perplexity: Math.exp(loss), tokens: 9, seconds: 1 }));

describe("evaluations", () => {
  it("stop a run where transformers' EarlyStoppingCallback does, with the same best", () => {
    assert.ok(CASES.some(({ stop }) => stop === null) && CASES.some(({ stop }) => stop !== null));
    for (const { patience: earlyStoppingPatience, threshold: earlyStoppingThreshold, losses, stop, best } of CASES) {
      const recipe = { ...defaultRecipe(), earlyStoppingPatience, earlyStoppingThreshold };
      const all = evaluationsOf(losses);
      const made = stop ?? all.length;
      for (let count = 1; count <= made; count++) {
        assert.equal(stopsEarly(all.slice(0, count), recipe), count === stop, JSON.stringify(losses.slice(0, count)));
      }
      assert.equal(bestOf(all.slice(0, made))?.step, 2 * (best + 1));
    }
  });

  it("never stop a run that does not ask for it", () => {
    assert.equal(stopsEarly(evaluationsOf([1, 2, 3, 4]), defaultRecipe()), false);
    assert.equal(bestOf([]), undefined);
  });

  it("are due every N steps, or at epochs' ends, and after the last step", () => {
    const due = (evalEvery: number) =>
      [1, 2, 3, 4, 5].filter((step) => isEvaluationDue(step, 5, step === 3, { ...defaultRecipe(), evalEvery }));
    assert.deepEqual([due(0), due(1), due(2), due(9)], [[3, 5], [1, 2, 3, 4, 5], [2, 4, 5], [5]]);
  });
});
