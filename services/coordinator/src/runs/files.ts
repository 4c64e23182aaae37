/**
 * The files that a run leaves: of a checkpoint, and of the result. All but trainer_state.json's `run` and
 * metrics.json have the same bytes whenever the run is repeated (I2).
 */
import { createHash } from "node:crypto";
import { adapterConfigJson, modelCard } from "@gradpool/adapter";
import type { Cursor, RunSpec, StepMetrics } from "@gradpool/rpc";
import { writeSafetensors, type FloatTensor } from "@gradpool/safetensors";
import type { CompleteRecipe, PreparedRun } from "./prepare.js";
import type { Training } from "./training.js";

export type Files = Map<string, Uint8Array>;

export interface RunFacts {
  runId: string;
  spec: RunSpec;
  prepared: PreparedRun;
  steps: readonly StepMetrics[];
  tokenizerFiles: Files;
  /** Of the trainers that served it. */
  runtime: { deviceClass: string; version: string };
}

const text = (content: string) => new TextEncoder().encode(content);
const json = (value: unknown) => text(`${JSON.stringify(value, undefined, 2)}\n`);

/** What PeftModel.from_pretrained loads, its tokenizer and its model card. */
function adapterFiles({ spec, prepared, steps, tokenizerFiles }: RunFacts, training: Training): Files {
  const { recipe, source, tokenizer } = prepared;
  const { lora, ...settings } = recipe;
  const card = modelCard({
    baseModel: spec.modelId,
    datasets: spec.dataset,
    lora,
    recipe: new Map(Object.entries(snakeKeys(settings)) as [string, string | number | boolean][]),
    steps,
    tokens: totalTokens(steps),
    addedPadToken: tokenizer.padTokenAdded ? tokenizer.padToken : undefined,
  });
  const config = adapterConfigJson({
    baseModel: spec.modelId,
    lora,
    targetModules: lora.targetModules,
    fanInFanOut: source.model.description.fanInFanOut,
  });
  return new Map([
    ["adapter_config.json", text(config)],
    ["adapter_model.safetensors", training.adapterFile()],
    ["README.md", text(card)],
    ...tokenizerFiles,
  ]);
}

/** Everything that decides the run's future. `cursor` is where its data stands behind the last step. */
export function checkpointFiles(facts: RunFacts, training: Training, cursor: Cursor | undefined): Files {
  const { recipe, totalSteps } = facts.prepared;
  const moments = new Map<string, FloatTensor>();
  for (const [name, { expAvg, expAvgSq }] of training.optimizerState.moments) {
    const shape = training.adapter.get(name)?.shape ?? [];
    moments.set(`exp_avg.${name}`, { shape, data: expAvg });
    moments.set(`exp_avg_sq.${name}`, { shape, data: expAvgSq });
  }
  const last = facts.steps.at(-1);
  const state = {
    epoch: last?.epoch ?? 0,
    step: training.version,
    total_steps: totalSteps,
    schedule: {
      lr_scheduler: recipe.lrScheduler,
      warmup_steps: recipe.warmupSteps,
      last_learning_rate: last?.learningRate,
    },
    seed: recipe.seed,
    cursor: cursor && snakeKeys(cursor),
    recipe: recipeJson(recipe),
    receipt: receiptOf(facts),
    steps: facts.steps.map((step) => ({ ...stepJson(step), seconds: undefined })),
    // What differs when the run is repeated.
    run: { run_id: facts.runId, seconds: facts.steps.map(({ seconds }) => seconds) },
  };
  return new Map([
    ...adapterFiles(facts, training),
    ["training_state.safetensors", writeSafetensors(moments, { step: String(training.version) })],
    ["trainer_state.json", json(state)],
  ]);
}

/** The result in output_dir; plots come from elsewhere. */
export function resultFiles(facts: RunFacts, training: Training): Files {
  const { runId, spec, prepared, steps } = facts;
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const metrics = {
    run_id: runId,
    model_id: spec.modelId,
    dataset: spec.dataset,
    recipe: recipeJson(prepared.recipe),
    steps: steps.map(stepJson),
    totals: { steps: steps.length, tokens: totalTokens(steps), seconds, duration: durationText(seconds) },
  };
  return new Map([...adapterFiles(facts, training), ["metrics.json", json(metrics)]]);
}

/** Hashes and names of what the result depends on: another value, another result. */
function receiptOf({ spec, prepared, runtime }: RunFacts): Record<string, unknown> {
  return {
    model: prepared.source.modelHash,
    tokenizer: prepared.tokenizer.tokenizerHash,
    recipe: createHash("sha256")
      .update(JSON.stringify(recipeJson(prepared.recipe)))
      .digest("hex"),
    dataset: spec.dataset,
    dataset_hash: prepared.datasetHash,
    device_class: runtime.deviceClass,
    runtime: runtime.version,
  };
}

/** The recipe under the names that the contract gives its fields, all of them. */
const recipeJson = ({ lora, ...others }: CompleteRecipe) => ({ ...snakeKeys(others), lora: snakeKeys(lora) });

/** As protobuf's field names: learningRate becomes learning_rate. */
function snakeKeys(message: object): Record<string, unknown> {
  const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(message).map(([key, value]) => [snake(key), value as unknown]));
}

const totalTokens = (steps: readonly StepMetrics[]) => steps.reduce((sum, { tokens }) => sum + tokens, 0);

function stepJson({ step, epoch, loss, gradNorm, learningRate, tokens, seconds }: StepMetrics) {
  return { step, epoch, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens, seconds };
}

/** h:mm:ss. */
function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
