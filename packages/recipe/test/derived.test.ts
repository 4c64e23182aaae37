/** What is derived from the table: messages, JSON in files, differences, data sets. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  checkedRecipe,
  datasetFields,
  defaultRecipe,
  heldOut,
  RECIPE_FIELDS,
  recipeDifferences,
  recipeFrom,
  recipeJson,
  recipeOfDataset,
  recipeValues,
  valuesOfJson,
  type FieldValue,
  type RecipeField,
} from "@gradpool/recipe";
import { DatasetSpec, Recipe } from "@gradpool/rpc";

/** A value that the field does not have by default. */
function other({ kind, default: value, words }: RecipeField): FieldValue {
  if (kind === "boolean") return !value;
  if (kind === "text") return words?.find((word) => word !== value) ?? "other";
  if (kind === "integer") return 17;
  if (kind === "number") return 0.25;
  if (kind === "patterns") return { c_fc: 3 };
  return kind === "list" ? ["c_fc"] : [0.5, 2];
}

const everythingElse = () => recipeFrom(Object.fromEntries(RECIPE_FIELDS.map((field) => [field.name, other(field)])));

describe("a recipe's JSON", () => {
  test("is the contract's own, with every field in it", () => {
    for (const recipe of [defaultRecipe(), everythingElse()]) {
      assert.deepEqual(Recipe.fromJSON(recipeJson(recipe)), recipe);
      assert.deepEqual(Recipe.decode(Recipe.encode(recipe).finish()), recipe);
    }
    assert.equal(Object.keys(recipeValues(defaultRecipe())).length, RECIPE_FIELDS.length);
  });

  test("gives its values by the fields' names, and keeps what a newer version wrote", () => {
    const recipe = everythingElse();
    assert.deepEqual(valuesOfJson(recipeJson(recipe)), recipeValues(recipe));
    assert.deepEqual(valuesOfJson({ flavour: 3, lora: { r: 4, taste: 5 } }), { flavour: 3, lora_r: 4, taste: 5 });
    assert.deepEqual(valuesOfJson({ epochs: 1 }), { epochs: 1 });
  });
});

test("two recipes differ in each field that decides the result, and in no other", () => {
  for (const field of RECIPE_FIELDS) {
    const changed = recipeFrom({ [field.name]: other(field) });
    const found = recipeDifferences(recipeJson(defaultRecipe()), changed);
    const expected = { name: field.name, there: field.default, here: other(field) };
    assert.deepEqual(found, field.sameBits ? [] : [expected]);
  }
  assert.deepEqual(
    RECIPE_FIELDS.filter(({ sameBits }) => sameBits).map(({ name }) => name),
    ["gradient_checkpointing", "save_every", "keep_last_n_checkpoints"],
  );
});

test("what a newer version's recipe has besides is a difference", () => {
  const there = { ...recipeJson(defaultRecipe()), flavour: "bitter" };
  assert.deepEqual(recipeDifferences(there, defaultRecipe()), [{ name: "flavour", there: "bitter", here: undefined }]);
});

test("a recipe from before packing had strategies packed as wrapped does", () => {
  const older = (packing: boolean) => {
    const { packing_strategy: _, ...json } = recipeJson(recipeFrom({ packing }));
    return json;
  };
  assert.deepEqual(recipeDifferences(older(true), recipeFrom({ packing: true })), []);
  assert.deepEqual(recipeDifferences(older(true), recipeFrom({ packing: "wrapped" })), []);
  assert.deepEqual(
    recipeDifferences(older(true), recipeFrom({ packing: "bfd" })).map(({ name }) => name),
    ["packing_strategy"],
  );
  const { packing, packingStrategy } = checkedRecipe(Recipe.fromJSON(older(true)));
  assert.deepEqual([packing, packingStrategy], [true, "wrapped"]);
});

test("a word for how to pack is packing that way", () => {
  const of = (values: object) => {
    const { packing, packingStrategy } = recipeFrom({ ...values });
    return [packing, packingStrategy];
  };
  assert.deepEqual(of({ packing: "bfd" }), [true, "bfd"]);
  assert.deepEqual(of({ packing: "bfd", packing_strategy: "bfd" }), [true, "bfd"]);
  assert.deepEqual(of({ packing: true, packing_strategy: "bfd" }), [true, "bfd"]);
  assert.deepEqual(of({ packing: "wrapped" }), [true, "wrapped"]);
  assert.deepEqual(of({ packing: true }), [true, "wrapped"]);
  assert.throws(() => of({ packing: "bfd", packing_strategy: "wrapped" }), {
    code: "invalid_argument",
    message: /^packing is bfd, but packing_strategy is wrapped; give one of them$/,
  });
  assert.throws(() => checkedRecipe(recipeFrom({ packing_strategy: "bfd" })), {
    message: /^packing_strategy is bfd, but must be left out without packing$/,
  });
});

test("held-out data is read as a whole and in its order, from its own sources", () => {
  const recipe = heldOut(everythingElse());
  const changed = recipeDifferences(recipeJson(everythingElse()), recipe).map(({ name, here }) => [name, here]);
  assert.deepEqual(Object.fromEntries(changed), { shuffle_buffer: 0, max_samples: 0, dataset_weights: [] });
});

describe("a data set's spec", () => {
  const dataset = { sources: ["d"], tokenizer: undefined, maxRows: 0, heldOut: false };
  const sent = (spec: DatasetSpec) => DatasetSpec.decode(DatasetSpec.encode(spec).finish());

  test("carries the whole recipe", () => {
    const recipe = everythingElse();
    assert.deepEqual(recipeOfDataset(sent({ ...dataset, ...datasetFields(recipe) })), recipe);
  });

  test("says the same to a peer from before it carried a recipe, and is understood from one", () => {
    const recipe = everythingElse();
    const older = sent({ ...dataset, ...datasetFields(recipe), recipe: undefined });
    assert.deepEqual(
      [older.maxLength, older.messagesColumn, older.sourceWeights, older.split],
      [17, "other", [0.5, 2], "other"],
    );
    const { textColumn, maxLength, seed, packing, datasetWeights, datasetConfig, learningRate } =
      recipeOfDataset(older);
    assert.deepEqual(
      { textColumn, maxLength, seed, packing },
      { textColumn: "other", maxLength: 17, seed: 17, packing: true },
    );
    assert.deepEqual([datasetWeights, datasetConfig], [[0.5, 2], "other"]);
    assert.equal(learningRate, defaultRecipe().learningRate);
  });
});
