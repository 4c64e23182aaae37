/** The flags that make up a recipe: one table for parsing, help and documentation. */
import { GradpoolError } from "@gradpool/errors";
import { checkRecipe, defaultRecipe, DTYPES, LR_SCHEDULERS } from "@gradpool/recipe";
import type { LoraRecipe, Recipe } from "@gradpool/rpc";
import { UsageError } from "./usage-error.js";

export type FlagKind = "integer" | "number" | "boolean" | "text" | "list" | "numbers" | "patterns";

/** Where a flag's value goes. */
export type FlagField = { of: "recipe"; key: keyof Recipe } | { of: "lora"; key: keyof LoraRecipe };

export interface RecipeFlag {
  /** In the spelling of metrics.json; on the command line also with dashes. */
  name: string;
  kind: FlagKind;
  field: FlagField;
  help: string;
}

export type FlagValue = number | boolean | string | string[] | number[] | Record<string, number>;

const recipe = (name: string, kind: FlagKind, key: keyof Recipe, help: string): RecipeFlag => ({
  name,
  kind,
  field: { of: "recipe", key },
  help,
});

const lora = (name: string, kind: FlagKind, key: keyof LoraRecipe, help: string): RecipeFlag => ({
  name,
  kind,
  field: { of: "lora", key },
  help,
});

export const RECIPE_FLAGS: readonly RecipeFlag[] = [
  recipe("epochs", "integer", "epochs", "passes over the data"),
  recipe("max_steps", "integer", "maxSteps", "stop after so many steps, whatever epochs says; 0 or less: epochs"),
  recipe("batch_size", "integer", "batchSize", "rows per micro-batch"),
  recipe("gradient_accumulation", "integer", "gradientAccumulation", "micro-batches per optimizer step"),
  recipe("max_length", "integer", "maxLength", "tokens per row; longer rows are cut"),
  recipe("learning_rate", "number", "learningRate", "peak learning rate"),
  recipe("weight_decay", "number", "weightDecay", "decoupled weight decay of AdamW"),
  recipe("max_grad_norm", "number", "maxGradNorm", "clip gradients to this global norm; 0 turns clipping off"),
  recipe("lr_scheduler", "text", "lrScheduler", `${LR_SCHEDULERS.join(", ")}, as in transformers`),
  recipe("warmup_steps", "integer", "warmupSteps", "steps of linear warm-up"),
  recipe("warmup_ratio", "number", "warmupRatio", "share of all steps that warms up, instead of warmup_steps"),
  recipe("num_cycles", "integer", "numCycles", "times that cosine_with_restarts begins at the peak"),
  recipe("power", "number", "power", "exponent of polynomial"),
  recipe("lr_end", "number", "lrEnd", "learning rate that polynomial ends at"),
  recipe("adam_beta1", "number", "adamBeta1", "decay of AdamW's first moment"),
  recipe("adam_beta2", "number", "adamBeta2", "decay of AdamW's second moment"),
  recipe("adam_epsilon", "number", "adamEpsilon", "AdamW's epsilon"),
  recipe("text_column", "text", "textColumn", "column of the text in structured files"),
  recipe("prompt_column", "text", "promptColumn", "with completion_column: train on prompt + completion"),
  recipe(
    "completion_column",
    "text",
    "completionColumn",
    "column of the text that counts in the loss, behind the prompt",
  ),
  recipe("messages_column", "text", "messagesColumn", "column of chats; the assistant's turns count in the loss"),
  recipe("dataset_weights", "numbers", "datasetWeights", "mix the sources: one weight each, such as 0.7,0.3"),
  recipe("dataset_config", "text", "datasetConfig", "config of a data set on the hub; empty: its own default"),
  recipe("dataset_split", "text", "datasetSplit", "split of a data set on the hub; empty: train"),
  recipe("append_eos", "boolean", "appendEos", "end each row with the end-of-sequence token"),
  recipe("packing", "boolean", "packing", "join rows into full blocks of max_length tokens"),
  recipe("shuffle_buffer", "integer", "shuffleBuffer", "rows shuffled together; 0 keeps the order"),
  recipe("pad_token", "text", "padToken", "token that pads rows; empty: the tokenizer's own, else <|pad|> is added"),
  recipe("seed", "integer", "seed", "decides the adapter's start, shuffling and dropout"),
  recipe("model_dropout", "boolean", "modelDropout", "the model's own dropouts are active, as its config.json says"),
  recipe("gradient_checkpointing", "boolean", "gradientCheckpointing", "less memory for more time; the same result"),
  recipe("dtype", "text", "dtype", `of the base's weights in memory: ${DTYPES.join(", ")}`),
  lora("lora_r", "integer", "r", "rank of the adapter"),
  lora("lora_alpha", "number", "alpha", "scaling is lora_alpha / lora_r"),
  lora("lora_dropout", "number", "dropout", "share of a LoRA input's elements that are dropped"),
  lora(
    "target_modules",
    "list",
    "targetModules",
    "modules to adapt, by name or by the last parts of it; or one regular expression; or all-linear",
  ),
  lora("use_rslora", "boolean", "useRslora", "scaling is lora_alpha / sqrt(lora_r)"),
  lora("use_dora", "boolean", "useDora", "train magnitudes of the weights, too (DoRA)"),
  lora("rank_pattern", "patterns", "rankPattern", "ranks of modules that have another, such as attn.c_proj=4,h.0.*=2"),
  lora("alpha_pattern", "patterns", "alphaPattern", "alphas of modules that have another"),
  lora("init_adapter", "text", "initAdapter", "folder of a PEFT adapter to start from"),
  recipe("eval_every", "integer", "evalEvery", "evaluate every so many steps and at the end; 0: at each epoch's end"),
  recipe(
    "load_best_model_at_end",
    "boolean",
    "loadBestModelAtEnd",
    "the result is the adapter with the best evaluation",
  ),
  recipe(
    "early_stopping_patience",
    "integer",
    "earlyStoppingPatience",
    "stop after so many worse evaluations; 0: never",
  ),
  recipe("early_stopping_threshold", "number", "earlyStoppingThreshold", "a loss must be lower by more than this"),
  recipe("save_every", "integer", "saveEvery", "save a checkpoint every so many steps; 0: only at the end"),
  recipe("keep_last_n_checkpoints", "integer", "keepLastNCheckpoints", "keep so many checkpoints; 0 or less keeps all"),
  recipe("dry_run", "boolean", "dryRun", "try the recipe on at most 500 rows and 200 steps"),
];

export function defaultOf(flag: RecipeFlag): FlagValue {
  return read(defaultRecipe(), flag.field);
}

/** The default recipe with the given flags' values, by flag name. */
export function recipeFrom(values: Readonly<Record<string, unknown>>): Recipe {
  const recipe = defaultRecipe();
  for (const { name, field } of RECIPE_FLAGS) {
    if (values[name] !== undefined) Object.assign(holderOf(recipe, field), { [field.key]: values[name] });
  }
  return recipe;
}

/** As `recipeFrom`. Errors: UsageError for a recipe that cannot be meant. */
export function checkedRecipeFrom(values: Readonly<Record<string, unknown>>): Recipe {
  const recipe = recipeFrom(values);
  try {
    checkRecipe(recipe);
  } catch (error) {
    throw new UsageError(GradpoolError.from(error).message);
  }
  return recipe;
}

/** A recipe under the flags' names. */
export function flagValues(recipe: Recipe): Record<string, FlagValue> {
  return Object.fromEntries(RECIPE_FLAGS.map(({ name, field }) => [name, read(recipe, field)]));
}

function read(recipe: Recipe, field: FlagField): FlagValue {
  return (holderOf(recipe, field) as Record<string, FlagValue>)[field.key] as FlagValue;
}

function holderOf(recipe: Recipe, field: FlagField): object {
  if (field.of === "recipe") return recipe;
  if (!recipe.lora) throw new Error("a recipe without its lora part");
  return recipe.lora;
}
