/** Names that users of transformers, PEFT and TRL know: those with another name here, and those without a counterpart. */
import { RECIPE_FIELDS } from "@gradpool/recipe";

/** For flags other than the recipe's, whose fields list their own. */
const OTHER_FLAGS: Record<string, string> = {
  model_name_or_path: "model_id",
  dataset_name: "dataset",
  train_file: "dataset",
  validation_file: "eval_dataset",
  resume_from_checkpoint: "resume_from",
  num_processes: "trainers",
};

const FLAGS = new Map([
  ...Object.entries(OTHER_FLAGS),
  ...RECIPE_FIELDS.flatMap(({ name, familiar = [] }) => familiar.map((other) => [other, name] as const)),
]);

/** transformers 5.24's TrainingArguments, PEFT 0.21's LoraConfig and TRL 1.16's SFTConfig, and what to use here instead. */
const ADVICE: readonly (readonly [names: string, advice: string])[] = [
  [
    "logging_steps logging_strategy logging_first_step logging_nan_inf_filter log_level disable_tqdm",
    "every step is shown, and recorded in metrics.json",
  ],
  ["logging_dir project trackio_space_id", "the output folder always has TensorBoard's file, metrics.json and charts"],
  [
    "optim optim_args adafactor optim_target_modules",
    "the optimizer is torch's AdamW: weight_decay, adam_beta1, adam_beta2, adam_epsilon",
  ],
  [
    "bf16 fp16 tf32 bf16_full_eval fp16_full_eval half_precision_backend fp16_opt_level",
    "adapter and optimizer are float32; dtype float16 halves the base's memory",
  ],
  ["load_in_8bit", "base_precision int8 multiplies with the base in 8 bits, on processors"],
  [
    "load_in_4bit use_bnb_nested_quant quantization_config",
    "the base is not quantized; base_precision int8 multiplies with it in 8 bits, and dtype float16 halves its memory",
  ],
  [
    "save_strategy save_safetensors save_only_model save_on_each_node",
    "save_every N saves every N steps, 0 at the end",
  ],
  [
    "eval_strategy evaluation_strategy do_eval eval_on_start eval_delay",
    "eval_dataset with eval_every N evaluates every N steps, with 0 at each epoch's end",
  ],
  [
    "per_device_eval_batch_size eval_accumulation_steps eval_packing",
    "held-out data is read as the training data is; batch_size and packing hold for both",
  ],
  ["metric_for_best_model greater_is_better", "the best adapter is the one with the lowest loss on eval_dataset"],
  ["lr_scheduler_kwargs", "the schedulers' own settings are num_cycles, power and lr_end"],
  ["do_train do_predict", "train trains; leave it out"],
  ["group_by_length train_sampling_strategy", "rows stay in the data's order; shuffle_buffer N shuffles N at a time"],
  ["data_seed full_determinism", "seed decides everything: the same recipe gives the same bytes"],
  ["dataloader_drop_last", "no row is dropped: an epoch's last, smaller group is a step of its own"],
  [
    "dataloader_num_workers dataloader_pin_memory dataloader_prefetch_factor dataset_num_proc preprocessing_num_workers",
    "data is read and encoded while trainers compute; leave it out",
  ],
  ["use_cpu no_cuda", "device cpu trains on the CPU"],
  [
    "deepspeed fsdp fsdp_config accelerator_config parallelism_config ddp_backend ddp_find_unused_parameters local_rank",
    "trainers N trains on N at once",
  ],
  [
    "torch_compile torch_compile_backend torch_compile_mode attn_implementation use_flash_attention_2 use_liger_kernel",
    "one graph is built for training; leave it out",
  ],
  ["gradient_checkpointing_kwargs", "gradient_checkpointing has no settings; leave it out"],
  ["trust_remote_code", "nothing that comes with a model is executed; leave it out"],
  [
    "push_to_hub hub_model_id hub_strategy hub_private_repo",
    "the output folder is a PEFT adapter: upload it with the hub's own command",
  ],
  ["hub_token token use_auth_token", "access to the hub is as in Python: HF_TOKEN, or its login"],
  ["auto_find_batch_size", "batch_size is never changed; if memory is short, lower it and raise gradient_accumulation"],
  ["assistant_only_loss", "with messages_column only the assistant's turns count"],
  ["completion_only_loss", "with prompt_column and completion_column only the completion counts"],
  ["label_smoothing_factor neftune_noise_alpha", "it is not supported: the loss is the mean over the target tokens"],
  ["task_type use_peft peft_type", "it is always LoRA for a causal language model; leave it out"],
  [
    "lora_bias modules_to_save lora_modules_to_save layers_to_transform",
    "an adapter has only LoRA matrices; leave it out",
  ],
];

const ADVICE_BY_NAME = new Map(ADVICE.flatMap(([names, advice]) => names.split(" ").map((name) => [name, advice])));

const plain = (name: string) => name.replaceAll("-", "_");

/** The flag for such a name. */
export const familiarName = (name: string): string | undefined => FLAGS.get(plain(name));

/** What to do about a name without a flag here. */
export const familiarAdvice = (name: string): string | undefined => ADVICE_BY_NAME.get(plain(name));
