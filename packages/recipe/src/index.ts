import { GradpoolError } from "@gradpool/errors";
import type { Recipe } from "@gradpool/rpc";

/** A dry run stops after this many rows and steps. */
export const DRY_RUN_ROWS = 500;
export const DRY_RUN_STEPS = 200;

export const LR_SCHEDULERS = [
  "constant",
  "constant_with_warmup",
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "inverse_sqrt",
] as const;

/** What the base's weights may be while they train an adapter. */
export const DTYPES = ["float32", "float16"] as const;

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
    warmupRatio: 0,
    maxSteps: 0,
    numCycles: 1,
    power: 1,
    lrEnd: 1e-7,
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
      useDora: false,
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
    promptColumn: "",
    completionColumn: "",
    messagesColumn: "",
    datasetWeights: [],
    datasetConfig: "",
    datasetSplit: "",
    evalEvery: 0,
    loadBestModelAtEnd: false,
    earlyStoppingPatience: 0,
    earlyStoppingThreshold: 0,
    modelDropout: true,
    gradientCheckpointing: false,
    dtype: "float32",
  };
}

/** Of a recipe what decides how rows become micro-batches, in the names that the data's contracts have. */
export function rowsOf(recipe: Recipe) {
  const { textColumn, promptColumn, completionColumn, messagesColumn, maxLength, batchSize } = recipe;
  const { appendEos, packing, shuffleBuffer, seed } = recipe;
  return {
    ...{ textColumn, promptColumn, completionColumn, messagesColumn, maxLength, batchSize },
    ...{ appendEos, packing, shuffleBuffer, seed },
  };
}

/** What a run's spec says that begins anew and is not evaluated. */
export const NEW_START = {
  resumeFrom: "",
  resumeIfExists: false,
  resumeWeightsOnly: false,
  evalDataset: [] as string[],
};

/** Throws what a field must be, unless it is. */
type Require = (holds: boolean, field: string, value: unknown, bound: string) => void;

const require: Require = (holds, field, value, bound) => {
  if (holds) return;
  throw new GradpoolError("invalid_argument", `${field} is ${String(value)}, but must be ${bound}`);
};
const atLeast = (field: string, value: number, least: number) =>
  require(Number.isInteger(value) && value >= least, field, value, `a whole number of at least ${least}`);
const finite = (field: string, value: number, holds: boolean, bound: string) =>
  require(Number.isFinite(value) && holds, field, value, bound);

/** Refuses a recipe that cannot be meant. Errors: `invalid_argument`, one line naming field and bound. */
export function checkRecipe(recipe: Recipe): void {
  const { lora } = recipe;
  if (!lora) throw new GradpoolError("invalid_argument", "recipe.lora is missing; fill in every field of it");
  atLeast("epochs", recipe.epochs, 1);
  atLeast("batch_size", recipe.batchSize, 1);
  atLeast("gradient_accumulation", recipe.gradientAccumulation, 1);
  atLeast("max_length", recipe.maxLength, 2);
  atLeast("shuffle_buffer", recipe.shuffleBuffer, 0);
  atLeast("save_every", recipe.saveEvery, 0);
  atLeast("seed", recipe.seed, 0);
  finite("learning_rate", recipe.learningRate, recipe.learningRate > 0, "greater than 0");
  finite("weight_decay", recipe.weightDecay, recipe.weightDecay >= 0, "0 or greater");
  finite("max_grad_norm", recipe.maxGradNorm, recipe.maxGradNorm >= 0, "0 (no clipping) or greater");
  finite("adam_beta1", recipe.adamBeta1, recipe.adamBeta1 >= 0 && recipe.adamBeta1 < 1, "at least 0 and below 1");
  finite("adam_beta2", recipe.adamBeta2, recipe.adamBeta2 >= 0 && recipe.adamBeta2 < 1, "at least 0 and below 1");
  finite("adam_epsilon", recipe.adamEpsilon, recipe.adamEpsilon > 0, "greater than 0");
  atLeast("lora_r", lora.r, 1);
  finite("lora_alpha", lora.alpha, lora.alpha > 0, "greater than 0");
  finite("lora_dropout", lora.dropout, lora.dropout >= 0 && lora.dropout < 1, "at least 0 and below 1");
  for (const [pattern, r] of Object.entries(lora.rankPattern)) atLeast(`rank_pattern of ${pattern}`, r, 1);
  for (const [pattern, alpha] of Object.entries(lora.alphaPattern)) {
    finite(`alpha_pattern of ${pattern}`, alpha, alpha > 0, "greater than 0");
  }
  require(lora.targetModules.length > 0, "target_modules", "empty", "at least one module name, such as c_attn");
  // A client that does not know the field leaves it empty.
  const dtypes: readonly string[] = ["", ...DTYPES];
  require(dtypes.includes(recipe.dtype), "dtype", recipe.dtype, `one of ${DTYPES.join(", ")}`);
  checkSchedule(recipe);
  checkEvaluation(recipe);
}

function checkSchedule(recipe: Recipe): void {
  const { lrScheduler, warmupSteps, warmupRatio, maxSteps, numCycles, power, lrEnd, learningRate } = recipe;
  const schedulers: readonly string[] = LR_SCHEDULERS;
  require(schedulers.includes(lrScheduler), "lr_scheduler", lrScheduler, `one of ${schedulers.join(", ")}`);
  atLeast("warmup_steps", warmupSteps, 0);
  finite("warmup_ratio", warmupRatio, warmupRatio >= 0 && warmupRatio <= 1, "from 0 to 1");
  require(warmupRatio === 0 || warmupSteps === 0, "warmup_ratio", warmupRatio, "0 when warmup_steps is given");
  require(Number.isInteger(maxSteps), "max_steps", maxSteps, "a whole number");
  if (lrScheduler === "cosine_with_restarts") atLeast("num_cycles", numCycles, 1);
  else onlyFor("cosine_with_restarts", "num_cycles", numCycles, 1);
  if (lrScheduler === "polynomial") {
    finite("power", power, power >= 0, "0 or greater");
    finite("lr_end", lrEnd, lrEnd >= 0 && lrEnd < learningRate, "at least 0 and below learning_rate");
  } else {
    onlyFor("polynomial", "power", power, 1);
    onlyFor("polynomial", "lr_end", lrEnd, 1e-7);
  }
}

/** A client that does not know the field says 0. */
function onlyFor(scheduler: string, field: string, value: number, ignored: number): void {
  require(value === 0 || value === ignored, field, value, `left out: it is for lr_scheduler ${scheduler}`);
}

function checkEvaluation({ evalEvery, earlyStoppingPatience: patience, earlyStoppingThreshold: least }: Recipe): void {
  atLeast("eval_every", evalEvery, 0);
  atLeast("early_stopping_patience", patience, 0);
  finite("early_stopping_threshold", least, least >= 0, "0 or greater");
  require(least === 0 || patience > 0, "early_stopping_threshold", least, "left out without early_stopping_patience");
}
