import assert from "node:assert/strict";
import { test } from "node:test";
import { checkedRecipe, defaultRecipe, recipeJson } from "@gradpool/recipe";
import type { Receipt } from "@gradpool/run-folder";
import { differences } from "../src/runs/receipt.js";

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
  const { dtype: _, lora, ...others } = recipeJson(recipe);
  const { use_dora: __, ...otherLora } = lora as Record<string, unknown>;
  const older = { recipe: { ...others, lora: otherLora }, receipt: RECEIPT };
  assert.deepEqual(differences(older, recipe, RECEIPT), []);
  const newer = { ...recipe, dtype: "float16", lora: { ...recipe.lora, useDora: true } };
  assert.deepEqual(differences(older, newer, RECEIPT).sort(), [
    'dtype was "float32", now "float16"',
    "use_dora was false, now true",
  ]);
});
