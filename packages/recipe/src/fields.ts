/**
 * The recipe, a row for each field under the name that flags, files and metrics.json give it. Defaults, checks, flags and
 * help, data spec, receipt and documents derive from these rows; the compiler refuses a field of proto/gradpool/v1/recipe.proto
 * that has no row. Rules about several fields are in rules.ts.
 *
 * Defaults are those of transformers' TrainingArguments, PEFT's LoraConfig and torch's AdamW where they have the field,
 * except where a comment says otherwise.
 */
import { boolean, integer, list, number, numbers, patterns, text, type Rows } from "./field.js";
import { DRY_RUN_ROWS, DRY_RUN_STEPS } from "./run.js";

export const LR_SCHEDULERS = [
  "constant",
  "constant_with_warmup",
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "inverse_sqrt",
] as const;

/** Which of the assistant's turns count in the loss of a chat. */
export const TRAIN_ON = ["all", "last"] as const;

/** How rows are joined into blocks: TRL's packing_strategy, of which "wrapped" is the default here. */
export const PACKING_STRATEGIES = ["wrapped", "bfd"] as const;

/** Types of the base's weights in memory. */
export const DTYPES = ["float32", "float16"] as const;

/** How products with the base's linear layers are computed; packages/graph says what each means. */
export const BASE_PRECISIONS = ["float32", "int8-backward", "int8"] as const;

/** Largest micro-batch, counted as rows × (row length + 1): its message must fit into gRPC's 4 MiB. */
export const MAX_MICRO_BATCH_TOKENS = 1_000_000;

/** Largest pass_tokens: longer passes are not faster. */
const MAX_PASS_TOKENS = 1 << 16;

/** Largest shuffle_buffer: each of its rows costs about 100 bytes besides its text. */
export const MAX_SHUFFLE_ROWS = 1 << 20;

/** Rows of a micro-batch, and micro-batches of a step: the coordinator keeps an entry for each one in progress. */
const MAX_BATCH = 1 << 16;

/** Far above the ranks in use (8 to 256): a rank multiplies adapter, moments and gradients in the coordinator's memory. */
export const MAX_LORA_RANK = 1024;

const [UINT32, INT32] = [2 ** 32 - 1, 2 ** 31 - 1];

/** A count that 0 turns off or leaves open. */
const COUNT = { least: 0, most: UINT32 };
const POSITIVE = { above: 0 };
/** 0 or greater. */
const AMOUNT = { least: 0 };
const BELOW_ONE = { least: 0, below: 1 };

export const ROWS: Rows = {
  epochs: integer(3, { least: 1, most: 1_000_000 }, "optimizer", "passes over the data", {
    familiar: ["num_train_epochs"],
  }),
  max_steps: integer(
    0,
    { least: -INT32, most: INT32 },
    "optimizer",
    "stop after this many steps, instead of by epochs; 0 or less: by epochs",
  ),
  batch_size: integer(2, { least: 1, most: MAX_BATCH }, "data", "rows per micro-batch", {
    familiar: ["per_device_train_batch_size", "per_device_batch_size", "train_batch_size"],
  }),
  gradient_accumulation: integer(4, { least: 1, most: MAX_BATCH }, "optimizer", "micro-batches per optimizer step", {
    familiar: ["gradient_accumulation_steps"],
  }),
  // A step of the defaults still has a pass for each of two trainers.
  pass_tokens: integer(
    512,
    { least: 0, most: MAX_PASS_TOKENS },
    "optimizer",
    "join a step's small micro-batches into passes of up to this many tokens, which is faster; 0: none, so that more trainers share a step",
  ),
  max_length: integer(
    128,
    { least: 2, most: MAX_MICRO_BATCH_TOKENS - 1 },
    "data",
    "tokens per row; longer rows are cut",
    { familiar: ["max_seq_length", "model_max_length", "block_size"] },
  ),
  learning_rate: number(5e-5, POSITIVE, "optimizer", "peak learning rate", { familiar: ["lr"] }),
  weight_decay: number(0, AMOUNT, "optimizer", "decoupled weight decay of AdamW"),
  max_grad_norm: number(1, AMOUNT, "optimizer", "clip gradients to this global norm; 0: no clipping"),
  lr_scheduler: text("linear", "optimizer", `${LR_SCHEDULERS.join(", ")}, as in transformers`, {
    words: LR_SCHEDULERS,
    familiar: ["lr_scheduler_type"],
  }),
  warmup_steps: integer(0, COUNT, "optimizer", "steps of linear warm-up", { familiar: ["num_warmup_steps"] }),
  warmup_ratio: number(
    0,
    { least: 0, most: 1 },
    "optimizer",
    "share of all steps used for warm-up, instead of warmup_steps",
  ),
  num_cycles: integer(1, COUNT, "optimizer", "number of cycles of cosine_with_restarts"),
  power: number(1, AMOUNT, "optimizer", "exponent of polynomial"),
  lr_end: number(1e-7, AMOUNT, "optimizer", "final learning rate of polynomial"),
  adam_beta1: number(0.9, BELOW_ONE, "optimizer", "decay of AdamW's first moment"),
  adam_beta2: number(0.999, BELOW_ONE, "optimizer", "decay of AdamW's second moment"),
  adam_epsilon: number(1e-8, POSITIVE, "optimizer", "AdamW's epsilon"),
  text_column: text("content", "data", "column of the text in structured files", {
    needed: "the name of a column, such as content",
    familiar: ["dataset_text_field", "text_field"],
  }),
  prompt_column: text("", "data", "with completion_column: train on prompt + completion"),
  completion_column: text("", "data", "column of the text that counts in the loss, after the prompt"),
  messages_column: text("", "data", "column of chats; the assistant's turns count in the loss"),
  train_on: text("all", "data", "which of the assistant's turns count: all, or last", {
    words: TRAIN_ON,
    unset: "all",
  }),
  chat_date: text("", "data", "date that a chat template prints as today, such as 2026-01-31; empty: today"),
  dataset_weights: numbers([], POSITIVE, "data", "mix the sources by weight, such as 0.7,0.3", {
    familiar: ["probabilities"],
  }),
  dataset_config: text("", "data", "config of a data set on the hub; empty: the data set's default", {
    familiar: ["dataset_config_name"],
  }),
  dataset_split: text("", "data", "split of a data set on the hub; empty: train", {
    familiar: ["dataset_train_split"],
  }),
  max_samples: integer(0, COUNT, "data", "train on the first N rows of the data; 0: all", {
    forTraining: true,
    familiar: ["max_train_samples"],
  }),
  append_eos: boolean(true, "data", "end each row with the end-of-sequence token"),
  packing: boolean(
    false,
    "data",
    "join rows into blocks of max_length tokens: bfd: whole rows that do not see each other, as TRL by default; true or wrapped: all rows as one text that is cut, with attention across them",
    { wordsOf: "packing_strategy" },
  ),
  packing_strategy: text("wrapped", "data", "how packing joins rows: wrapped, or bfd", {
    words: PACKING_STRATEGIES,
    unset: "wrapped",
  }),
  shuffle_buffer: integer(
    0,
    { least: 0, most: MAX_SHUFFLE_ROWS },
    "data",
    "number of rows to shuffle together; 0: keep the order",
    { forTraining: true },
  ),
  pad_token: text("", "data", "padding token; empty: the tokenizer's own, or <|pad|> is added"),
  seed: integer(
    0,
    { least: 0, most: Number.MAX_SAFE_INTEGER },
    ["data", "graph"],
    "seed for adapter initialization, shuffling and dropout",
  ),
  model_dropout: boolean(true, "graph", "apply the model's own dropout, as set in its config.json"),
  gradient_checkpointing: boolean(false, "graph", "use less memory, but more time; same result", { sameBits: true }),
  dtype: text("float32", "graph", `type of the base's weights in memory: ${DTYPES.join(", ")}`, {
    words: DTYPES,
    unset: "float32",
    familiar: ["torch_dtype"],
  }),
  base_precision: text(
    "float32",
    "graph",
    "products with the base's linear layers on processors: float32, int8-backward (those of gradients in 8 bits: faster), or int8 (all of them: faster still, and the loss moves a little)",
    { words: BASE_PRECISIONS, unset: "float32" },
  ),
  // PEFT's own defaults are alpha 8 and dropout 0.
  lora_r: integer(8, { least: 1, most: MAX_LORA_RANK }, "graph", "rank of the adapter", {
    lora: "r",
    familiar: ["r", "lora_rank"],
  }),
  lora_alpha: number(32, POSITIVE, "graph", "scaling is lora_alpha / lora_r", { lora: "alpha", familiar: ["alpha"] }),
  lora_dropout: number(0.05, BELOW_ONE, "graph", "dropout probability of the LoRA inputs", {
    lora: "dropout",
  }),
  target_modules: list(
    ["auto"],
    "graph",
    "modules to adapt, by name or its last parts; or one regular expression; or all-linear; auto: the model's usual ones, c_attn,c_proj for GPT-2",
    { lora: "targetModules", needed: "at least one module name, such as c_attn", familiar: ["lora_target_modules"] },
  ),
  use_rslora: boolean(false, "graph", "scaling is lora_alpha / sqrt(lora_r)", { lora: "useRslora" }),
  use_dora: boolean(false, "graph", "also train magnitudes of the weights (DoRA)", { lora: "useDora" }),
  rank_pattern: patterns(
    "integer",
    { least: 1, most: MAX_LORA_RANK },
    "graph",
    "other ranks for some modules, such as attn.c_proj=4,h.0.*=2",
    { lora: "rankPattern" },
  ),
  alpha_pattern: patterns("number", POSITIVE, "graph", "other alphas for some modules", { lora: "alphaPattern" }),
  init_adapter: text("", "graph", "folder of a PEFT adapter to start from", { lora: "initAdapter" }),
  eval_split: text(
    "",
    "evaluation",
    "split to evaluate on, of eval_dataset or else dataset; empty: validation, or test",
    {
      familiar: ["dataset_test_split"],
    },
  ),
  eval_fraction: number(
    0,
    BELOW_ONE,
    ["data", "evaluation"],
    "hold out this share of the data's rows, chosen by their content, and evaluate on them, such as 0.05",
    { forTraining: true, familiar: ["test_size", "validation_split_percentage"] },
  ),
  eval_every: integer(0, COUNT, "evaluation", "evaluate every N steps and at the end; 0: at each epoch's end", {
    familiar: ["eval_steps"],
  }),
  load_best_model_at_end: boolean(false, "evaluation", "keep the adapter with the best evaluation as the result"),
  early_stopping_patience: integer(
    0,
    COUNT,
    "evaluation",
    "stop after this many evaluations in a row without improvement; 0: never",
  ),
  early_stopping_threshold: number(0, AMOUNT, "evaluation", "an improvement must lower the loss by more than this"),
  save_every: integer(0, COUNT, "keeping", "save a checkpoint every N steps; 0: only at the end", {
    sameBits: true,
    familiar: ["save_steps"],
  }),
  keep_last_n_checkpoints: integer(
    3,
    { least: -INT32, most: INT32 },
    "keeping",
    "number of checkpoints to keep; 0 or less: all",
    { sameBits: true, familiar: ["save_total_limit"] },
  ),
  dry_run: boolean(false, "optimizer", `try the recipe on at most ${DRY_RUN_ROWS} rows and ${DRY_RUN_STEPS} steps`),
};
