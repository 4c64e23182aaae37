import assert from "node:assert/strict";
import { test } from "node:test";
import { checkedRecipe, defaultRecipe, NEW_START, recipeJson } from "@gradpool/recipe";
import type { Receipt } from "@gradpool/run-folder";
import { differences, receiptOf } from "../src/runs/receipt.js";

const RECEIPT: Receipt = {
  model: "m",
  tokenizer: "t",
  dataset: ["d"],
  dataset_hash: "h",
  eval_dataset: [],
  eval_dataset_hash: "",
  device_class: "cpu",
  runtime: "r",
};

test("a checkpoint without a field has the behaviour from before the field", () => {
  const recipe = checkedRecipe(defaultRecipe());
  const { dtype: _, base_precision: __, lora, ...others } = recipeJson(recipe);
  const { use_dora: ___, ...otherLora } = lora as Record<string, unknown>;
  const older = { recipe: { ...others, lora: otherLora }, receipt: RECEIPT };
  assert.deepEqual(differences(older, recipe, RECEIPT), []);
  const newer = { ...recipe, dtype: "float16", basePrecision: "int8", lora: { ...recipe.lora, useDora: true } };
  assert.deepEqual(differences(older, newer, RECEIPT).sort(), [
    'base_precision was "float32", now "int8"',
    'dtype was "float32", now "float16"',
    "use_dora was false, now true",
  ]);
});

test("name and tags do not decide a result: a run resumes under another name", () => {
  const examined = {
    source: { modelHash: "m" },
    tokenizer: { tokenizerHash: "t" },
    datasetHash: "h",
    evalDatasetHash: "",
  };
  const spec = { ...NEW_START, modelId: "m", dataset: ["d"], outputDir: "out", recipe: defaultRecipe() };
  const platform = { deviceClass: "cpu", version: "r" };
  const named = { ...spec, runName: "nightly", tags: ["team-a"] };
  assert.deepEqual(receiptOf(named, examined, platform), receiptOf(spec, examined, platform));
  assert.deepEqual(receiptOf(named, examined, platform), RECEIPT);
});
