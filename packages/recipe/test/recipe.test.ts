import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { checkRecipe, defaultRecipe } from "@gradpool/recipe";
import type { LoraRecipe, Recipe } from "@gradpool/rpc";

test("the defaults are allowed", () => checkRecipe(defaultRecipe()));

const WRONG: [Partial<Recipe>, RegExp][] = [
  [{ epochs: 0 }, /^epochs is 0, but must be a whole number of at least 1$/],
  [{ batchSize: 1.5 }, /^batch_size is 1.5/],
  [{ gradientAccumulation: 0 }, /^gradient_accumulation/],
  [{ maxLength: 1 }, /^max_length is 1, but must be a whole number of at least 2/],
  [{ learningRate: 0 }, /^learning_rate is 0, but must be greater than 0/],
  [{ learningRate: NaN }, /^learning_rate is NaN/],
  [{ weightDecay: -0.1 }, /^weight_decay/],
  [{ maxGradNorm: Infinity }, /^max_grad_norm/],
  [{ lrScheduler: "cosin" }, /^lr_scheduler is cosin, but must be one of constant, linear, cosine/],
  [{ adamBeta2: 1 }, /^adam_beta2/],
  [{ adamEpsilon: 0 }, /^adam_epsilon/],
  [{ lora: undefined }, /^recipe.lora is missing/],
];

const WRONG_LORA: [Partial<LoraRecipe>, RegExp][] = [
  [{ r: 0 }, /^lora_r/],
  [{ alpha: 0 }, /^lora_alpha/],
  [{ dropout: 1 }, /^lora_dropout is 1, but must be at least 0 and below 1/],
  [{ targetModules: [] }, /^target_modules/],
];

function refuses(recipe: Recipe, message: RegExp): void {
  assert.throws(
    () => checkRecipe(recipe),
    (error) => error instanceof GradpoolError && error.code === "invalid_argument" && message.test(error.message),
  );
}

for (const [changes, message] of WRONG) {
  test(`refuses ${JSON.stringify(changes)}`, () => refuses({ ...defaultRecipe(), ...changes }, message));
}

for (const [changes, message] of WRONG_LORA) {
  test(`refuses lora ${JSON.stringify(changes)}`, () => {
    const recipe = defaultRecipe();
    refuses({ ...recipe, lora: { ...(recipe.lora as LoraRecipe), ...changes } }, message);
  });
}
