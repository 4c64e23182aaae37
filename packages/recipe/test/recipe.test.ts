import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { checkedRecipe, defaultRecipe, LR_SCHEDULERS, MAX_SHUFFLE_ROWS } from "@gradpool/recipe";
import type { LoraRecipe, Recipe } from "@gradpool/rpc";

test("the defaults are allowed", () => assert.deepEqual(checkedRecipe(defaultRecipe()), defaultRecipe()));

test("each scheduler is allowed with what belongs to it, and by clients that do not know the rest", () => {
  for (const lrScheduler of LR_SCHEDULERS) checkedRecipe({ ...defaultRecipe(), lrScheduler });
  checkedRecipe({
    ...defaultRecipe(),
    lrScheduler: "cosine_with_restarts",
    numCycles: 4,
    warmupRatio: 0.1,
    maxSteps: -1,
  });
  checkedRecipe({ ...defaultRecipe(), lrScheduler: "polynomial", power: 0.5, lrEnd: 0 });
  checkedRecipe({ ...defaultRecipe(), numCycles: 0, power: 0, lrEnd: 0 });
});

const WRONG: [Partial<Recipe>, RegExp][] = [
  [{ epochs: 0 }, /^epochs is 0, but must be a whole number of at least 1$/],
  [{ batchSize: 1.5 }, /^batch_size is 1.5/],
  [{ gradientAccumulation: 0 }, /^gradient_accumulation/],
  [{ maxLength: 1 }, /^max_length is 1, but must be a whole number of at least 2/],
  [{ learningRate: 0 }, /^learning_rate is 0, but must be greater than 0/],
  [{ learningRate: NaN }, /^learning_rate is NaN/],
  [{ weightDecay: -0.1 }, /^weight_decay/],
  [{ maxGradNorm: Infinity }, /^max_grad_norm/],
  [{ lrScheduler: "cosin" }, /^lr_scheduler is cosin, but must be one of constant, .*, inverse_sqrt$/],
  [{ adamBeta2: 1 }, /^adam_beta2/],
  [{ adamEpsilon: 0 }, /^adam_epsilon/],
  [{ warmupRatio: 1.5 }, /^warmup_ratio is 1.5, but must be from 0 to 1/],
  [{ warmupRatio: 0.1, warmupSteps: 3 }, /^warmup_ratio is 0.1, but must be 0 when warmup_steps is given/],
  [{ maxSteps: 0.5 }, /^max_steps is 0.5/],
  [{ numCycles: 3 }, /^num_cycles is 3, but must be left out: it is for lr_scheduler cosine_with_restarts/],
  [{ lrScheduler: "cosine_with_restarts", numCycles: 0 }, /^num_cycles is 0, but must be a whole number of at least 1/],
  [{ power: 2 }, /^power is 2, but must be left out: it is for lr_scheduler polynomial/],
  [{ lrEnd: 1e-6 }, /^lr_end/],
  [{ lrScheduler: "polynomial", power: -1 }, /^power is -1/],
  [{ lrScheduler: "polynomial", lrEnd: 1 }, /^lr_end is 1, but must be at least 0 and below learning_rate/],
  [{ evalEvery: -1 }, /^eval_every/],
  [{ earlyStoppingPatience: 1.5 }, /^early_stopping_patience/],
  [{ earlyStoppingThreshold: 0.1 }, /^early_stopping_threshold is 0.1, .* without early_stopping_patience/],
  [{ lora: undefined }, /^recipe.lora is missing/],
  [{ textColumn: "" }, /^text_column is "", but must be the name of a column/],
  [{ promptColumn: "p" }, /completion_column is "", but must be given together/],
  [{ promptColumn: "p", completionColumn: "c", messagesColumn: "m" }, /messages_column is "m", but must be unset/],
  [{ batchSize: 0 }, /^batch_size is 0/],
  [{ maxLength: 0 }, /^max_length is 0/],
  [{ packing: true, maxLength: 1_000_000 }, /^max_length is 1000000, but must be at most 999999$/],
  [{ shuffleBuffer: MAX_SHUFFLE_ROWS + 1 }, /^shuffle_buffer/],
  [{ datasetWeights: [1, 0] }, /^dataset_weights is 0, but must be greater than 0$/],
  [{ dtype: "int8" }, /^dtype is int8, but must be one of float32, float16$/],
  // A typo must not stop the pool.
  [{ batchSize: 1_000_000 }, /^batch_size is 1000000, but must be at most 65536$/],
  [{ gradientAccumulation: 1_000_000 }, /^gradient_accumulation is 1000000, but must be at most 65536$/],
  [{ epochs: 5e9 }, /^epochs is 5000000000, but must be at most 1000000$/],
  [{ warmupSteps: 2 ** 32 }, /^warmup_steps is 4294967296, but must be at most 4294967295$/],
  [{ keepLastNCheckpoints: 2 ** 31 }, /^keep_last_n_checkpoints/],
  [{ seed: -1 }, /^seed is -1, but must be a whole number of at least 0$/],
];

const WRONG_LORA: [Partial<LoraRecipe>, RegExp][] = [
  [{ r: 0 }, /^lora_r/],
  [{ r: 10_000 }, /^lora_r is 10000, but must be at most 1024$/],
  [{ rankPattern: { c_fc: 10_000 } }, /^rank_pattern of c_fc is 10000, but must be at most 1024$/],
  [{ rankPattern: { c_fc: 1.5 } }, /^rank_pattern of c_fc is 1.5, but must be a whole number of at least 1$/],
  [{ alphaPattern: { c_fc: 0 } }, /^alpha_pattern of c_fc is 0, but must be greater than 0$/],
  [{ alpha: 0 }, /^lora_alpha/],
  [{ dropout: 1 }, /^lora_dropout is 1, but must be at least 0 and below 1/],
  [{ targetModules: [] }, /^target_modules/],
];

function refuses(recipe: Recipe, message: RegExp): void {
  assert.throws(
    () => checkedRecipe(recipe),
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
