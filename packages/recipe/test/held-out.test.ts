/** Where held-out data comes from, and what goes with what. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkedRecipe, checkHeldOut, dataOf, recipeFrom, splitOf } from "@gradpool/recipe";

const EITHER = "validation|valid|val|dev|test";

/** Sources and splits of the training data and the held-out data. */
function usesOf(values: Record<string, unknown>, dataset = ["org/d"], evalDataset: string[] = []) {
  const { training, heldOut } = dataOf({ dataset, evalDataset }, recipeFrom(values));
  const of = (use: typeof training) => [use.sources, splitOf(use)];
  return [of(training), heldOut && of(heldOut)];
}

describe("held-out data", () => {
  test("is of its own sources, by default their validation or test split", () => {
    assert.deepEqual(usesOf({}), [[["org/d"], {}], undefined]);
    assert.deepEqual(usesOf({}, ["a"], ["b"]), [
      [["a"], {}],
      [["b"], { split: EITHER }],
    ]);
    const named = { dataset_config: "c", dataset_split: "small", eval_split: "dev" };
    assert.deepEqual(usesOf(named, ["a"], ["b"]), [
      [["a"], { config: "c", split: "small" }],
      [["b"], { config: "c", split: "dev", needsSplit: true }],
    ]);
  });

  test("of the training data's sources is another split: a folder is then not trained on as a whole", () => {
    const expected = [
      [["org/d"], { split: "train" }],
      [["org/d"], { split: "dev", needsSplit: true }],
    ];
    assert.deepEqual(usesOf({ eval_split: "dev" }), expected);
    assert.deepEqual(usesOf({ eval_split: "dev" }, ["org/d"], ["org/d"]), expected);
    assert.deepEqual(usesOf({}, ["x", "org/d"], ["org/d"]), [
      [["x", "org/d"], { split: "train" }],
      [["org/d"], { split: EITHER }],
    ]);
    assert.deepEqual(usesOf({ dataset_split: "small" }, ["org/d"], ["org/d"])[0], [["org/d"], { split: "small" }]);
  });

  test("is a share of the training data's rows, of the same split, and of all of them", () => {
    const values = {
      eval_fraction: 0.1,
      dataset_split: "small",
      max_samples: 5,
      shuffle_buffer: 9,
      dataset_weights: [1, 2],
    };
    const { training, heldOut } = dataOf({ dataset: ["a", "b"], evalDataset: [] }, recipeFrom(values));
    assert.deepEqual(usesOf(values, ["a", "b"]), [
      [["a", "b"], { split: "small" }],
      [["a", "b"], { split: "small" }],
    ]);
    assert.deepEqual([training.heldOut, heldOut!.heldOut], [false, true]);
    const { evalFraction, maxSamples, shuffleBuffer, datasetWeights } = heldOut!.recipe;
    assert.deepEqual([evalFraction, maxSamples, shuffleBuffer, datasetWeights], [0.1, 0, 0, []]);
    assert.doesNotThrow(() => checkedRecipe(heldOut!.recipe));
  });

  test("comes from one place, and evaluations need it", () => {
    const check = (values: Record<string, unknown>, evalDataset: string[] = []) => {
      checkHeldOut({ dataset: ["d"], evalDataset }, checkedRecipe(recipeFrom(values)));
    };
    const refused = (values: Record<string, unknown>, message: RegExp, evalDataset?: string[]) =>
      assert.throws(() => check(values, evalDataset), { code: "invalid_argument", message });
    for (const values of [{}, { eval_fraction: 0.5 }, { eval_split: "x", eval_every: 3 }]) check(values);
    check({ eval_every: 3 }, ["e"]);
    check({ eval_split: "test" }, ["e"]);
    refused({ eval_every: 3 }, /^eval_every needs eval_dataset, eval_split or eval_fraction: the held-out data$/);
    refused({ eval_fraction: 0.5 }, /^eval_fraction is 0.5, but must be left out with eval_dataset$/, ["e"]);
    refused({ eval_fraction: 0.5, eval_split: "x" }, /^eval_split is x, but must be left out with eval_fraction$/);
    refused({ eval_fraction: 1 }, /^eval_fraction is 1, but must be at least 0 and below 1$/);
  });
});
