/** The reference runs through the command line and all services. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import {
  adapterError,
  Golden,
  GOLDEN_CASES,
  gradpool,
  magnitudeError,
  TOLERANCE,
  Workspace,
  type GoldenStep,
} from "@gradpool/integration-tests";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";

for (const name of GOLDEN_CASES) {
  test(`gradpool train reproduces ${name}`, async () => {
    await using workspace = await Workspace.create();
    const golden = new Golden(name);
    const { recipe, lora } = golden;
    const outputDir = workspace.path("out");
    const flags: Record<string, string | number> = {
      model_id: golden.modelDir,
      dataset: golden.dataFile,
      output_dir: outputDir,
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
      trainers: 2,
    };
    const patterns = { rank_pattern: lora.rankPattern, alpha_pattern: lora.alphaPattern };
    for (const [flag, values] of Object.entries(patterns)) {
      const text = Object.entries(values).map(([pattern, value]) => `${pattern}=${value}`);
      if (text.length > 0) flags[flag] = text.join(",");
    }
    if (recipe.pad_token !== null) flags["pad_token"] = recipe.pad_token;
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const { code, stderr } = await gradpool(["train", ...args], workspace.path("home"));
    assert.equal(code, 0, stderr);

    const metrics = JSON.parse(await readFile(`${outputDir}/metrics.json`, "utf8")) as { steps: GoldenStep[] };
    assert.equal(metrics.steps.length, golden.steps.length);
    for (const [i, expected] of golden.steps.entries()) {
      const actual = metrics.steps[i];
      assert.ok(actual);
      const { step, epoch, tokens } = expected;
      assert.deepEqual({ step: actual.step, epoch: actual.epoch, tokens: actual.tokens }, { step, epoch, tokens });
      assert.ok(Math.abs(actual.loss / expected.loss - 1) <= TOLERANCE.loss, `step ${step}: loss ${actual.loss}`);
      assert.ok(Math.abs(actual.grad_norm / expected.grad_norm - 1) <= 1e-5, `step ${step}: grad_norm`);
      assert.ok(Math.abs(actual.learning_rate - expected.learning_rate) <= 1e-15, `step ${step}: learning_rate`);
    }
    const { tensors } = readSafetensors(await readFile(`${outputDir}/adapter_model.safetensors`));
    const adapter = new Map(
      [...tensors].map(([key, tensor]) => [key, { shape: tensor.shape, data: toFloat32(tensor) }]),
    );
    const final = golden.floats("final_adapter/adapter_model.safetensors");
    const error = adapterError(adapter, final);
    assert.ok(error <= TOLERANCE.adapter, `final adapter: ${error}`);
    const magnitudes = magnitudeError(adapter, final, golden.floats("init_adapter/adapter_model.safetensors"));
    assert.ok(magnitudes <= TOLERANCE.adapter, `final magnitudes: ${magnitudes}`);
  });
}
