import type { Golden } from "./golden.js";

/** The flags of `gradpool train` for a reference run, and `more`, which win. */
export function goldenArguments(golden: Golden, more: Record<string, string | number>): string[] {
  const { recipe, lora } = golden;
  const flags: Record<string, string | number> = {
    model_id: golden.modelDir,
    dataset: golden.dataFile,
    init_adapter: `${golden.dir}init_adapter`,
    epochs: recipe.epochs,
    batch_size: recipe.batch_size,
    gradient_accumulation: recipe.gradient_accumulation,
    max_length: recipe.max_length,
    learning_rate: recipe.learning_rate,
    weight_decay: recipe.weight_decay,
    max_grad_norm: recipe.max_grad_norm,
    lr_scheduler: recipe.lr_scheduler,
    warmup_steps: recipe.warmup_steps,
    lora_r: lora.r,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    use_rslora: String(lora.useRslora),
    use_dora: String(lora.useDora),
    target_modules: lora.targetModules.join(","),
    dtype: recipe.dtype ?? "float32",
  };
  const patterns = { rank_pattern: lora.rankPattern, alpha_pattern: lora.alphaPattern };
  for (const [flag, values] of Object.entries(patterns)) {
    const text = Object.entries(values).map(([pattern, value]) => `${pattern}=${value}`);
    if (text.length > 0) flags[flag] = text.join(",");
  }
  if (recipe.pad_token !== null) flags["pad_token"] = recipe.pad_token;
  return Object.entries({ ...flags, ...more }).map(([flag, value]) => `--${flag}=${value}`);
}
