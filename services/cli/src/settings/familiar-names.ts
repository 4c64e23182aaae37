/** Names that users of transformers, PEFT and TRL write for what has another name here. */

const FAMILIAR: Record<string, string> = {
  model_name_or_path: "model_id",
  dataset_name: "dataset",
  train_file: "dataset",
  validation_file: "eval_dataset",
  num_train_epochs: "epochs",
  per_device_train_batch_size: "batch_size",
  gradient_accumulation_steps: "gradient_accumulation",
  max_seq_length: "max_length",
  block_size: "max_length",
  lr: "learning_rate",
  lr_scheduler_type: "lr_scheduler",
  num_warmup_steps: "warmup_steps",
  eval_steps: "eval_every",
  save_steps: "save_every",
  save_total_limit: "keep_last_n_checkpoints",
  resume_from_checkpoint: "resume_from",
  dataset_text_field: "text_column",
  lora_target_modules: "target_modules",
  r: "lora_r",
  alpha: "lora_alpha",
};

/** The flag that such a name stands for. */
export function familiarName(name: string): string | undefined {
  const plain = name.replaceAll("-", "_");
  return Object.hasOwn(FAMILIAR, plain) ? FAMILIAR[plain] : undefined;
}
