import { GradpoolError } from "@gradpool/errors";
import type { Recipe } from "@gradpool/rpc";

/** A dry run stops after this many rows and steps. */
export const DRY_RUN_ROWS = 500;
export const DRY_RUN_STEPS = 200;

export const LR_SCHEDULERS = ["constant", "linear", "cosine"] as const;

/** The recipe of a run that asks for nothing else. */
export function defaultRecipe(): Recipe {
  return {
    epochs: 3,
    batchSize: 2,
    gradientAccumulation: 4,
    maxLength: 128,
    learningRate: 5e-5,
    weightDecay: 0,
    maxGradNorm: 1,
    lrScheduler: "linear",
    warmupSteps: 0,
    textColumn: "content",
    appendEos: true,
    packing: false,
    shuffleBuffer: 0,
    padToken: "",
    seed: 0,
    lora: {
      r: 8,
      alpha: 32,
      dropout: 0.05,
      targetModules: ["c_attn", "c_proj"],
      useRslora: false,
      initAdapter: "",
      rankPattern: {},
      alphaPattern: {},
    },
    adamBeta1: 0.9,
    adamBeta2: 0.999,
    adamEpsilon: 1e-8,
    saveEvery: 0,
    keepLastNCheckpoints: 3,
    dryRun: false,
    modelDropout: true,
    gradientCheckpointing: false,
  };
}

/** What a run's spec says when it begins anew. */
export const NEW_START = { resumeFrom: "", resumeIfExists: false, resumeWeightsOnly: false };

/** Refuses a recipe that cannot be meant. Errors: `invalid_argument`, one line naming field and bound. */
export function checkRecipe(recipe: Recipe): void {
  const { lora } = recipe;
  if (!lora) throw new GradpoolError("invalid_argument", "recipe.lora is missing; fill in every field of it");
  const require = (holds: boolean, field: string, value: unknown, bound: string) => {
    if (holds) return;
    throw new GradpoolError("invalid_argument", `${field} is ${String(value)}, but must be ${bound}`);
  };
  const atLeast = (field: string, value: number, least: number) =>
    require(Number.isInteger(value) && value >= least, field, value, `a whole number of at least ${least}`);
  const finite = (field: string, value: number, holds: boolean, bound: string) =>
    require(Number.isFinite(value) && holds, field, value, bound);

  atLeast("epochs", recipe.epochs, 1);
  atLeast("batch_size", recipe.batchSize, 1);
  atLeast("gradient_accumulation", recipe.gradientAccumulation, 1);
  atLeast("max_length", recipe.maxLength, 2);
  atLeast("warmup_steps", recipe.warmupSteps, 0);
  atLeast("shuffle_buffer", recipe.shuffleBuffer, 0);
  atLeast("save_every", recipe.saveEvery, 0);
  atLeast("seed", recipe.seed, 0);
  finite("learning_rate", recipe.learningRate, recipe.learningRate > 0, "greater than 0");
  finite("weight_decay", recipe.weightDecay, recipe.weightDecay >= 0, "0 or greater");
  finite("max_grad_norm", recipe.maxGradNorm, recipe.maxGradNorm >= 0, "0 (no clipping) or greater");
  finite("adam_beta1", recipe.adamBeta1, recipe.adamBeta1 >= 0 && recipe.adamBeta1 < 1, "at least 0 and below 1");
  finite("adam_beta2", recipe.adamBeta2, recipe.adamBeta2 >= 0 && recipe.adamBeta2 < 1, "at least 0 and below 1");
  finite("adam_epsilon", recipe.adamEpsilon, recipe.adamEpsilon > 0, "greater than 0");
  const schedulers: readonly string[] = LR_SCHEDULERS;
  require(schedulers.includes(
    recipe.lrScheduler,
  ), "lr_scheduler", recipe.lrScheduler, `one of ${schedulers.join(", ")}`);
  atLeast("lora_r", lora.r, 1);
  finite("lora_alpha", lora.alpha, lora.alpha > 0, "greater than 0");
  finite("lora_dropout", lora.dropout, lora.dropout >= 0 && lora.dropout < 1, "at least 0 and below 1");
  for (const [pattern, r] of Object.entries(lora.rankPattern)) atLeast(`rank_pattern of ${pattern}`, r, 1);
  for (const [pattern, alpha] of Object.entries(lora.alphaPattern)) {
    finite(`alpha_pattern of ${pattern}`, alpha, alpha > 0, "greater than 0");
  }
  require(lora.targetModules.length > 0, "target_modules", "empty", "at least one module name, such as c_attn");
}
