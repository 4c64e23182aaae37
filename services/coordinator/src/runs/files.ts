/** The files that a run leaves: of a checkpoint, and of the result. */
import { adapterConfigJson, modelCard } from "@gradpool/adapter";
import { Recipe, type Cursor as CursorMessage, Cursor, type RunSpec, type StepMetrics } from "@gradpool/rpc";
import { writeSafetensors, type FloatTensor } from "@gradpool/safetensors";
import type { PreparedRun } from "./prepare.js";
import type { Training } from "./training.js";

export type Files = Map<string, Uint8Array>;

export interface RunFacts {
  runId: string;
  spec: RunSpec;
  prepared: PreparedRun;
  steps: readonly StepMetrics[];
  tokenizerFiles: Files;
  deviceClass: string;
}

const text = (content: string) => new TextEncoder().encode(content);
const json = (value: unknown) => text(`${JSON.stringify(value, undefined, 2)}\n`);

/** What PeftModel.from_pretrained loads, its tokenizer and its model card. */
function adapterFiles({ spec, prepared, steps, tokenizerFiles }: RunFacts, training: Training): Files {
  const { recipe, source, tokenizer } = prepared;
  const { lora } = recipe;
  const card = modelCard({
    baseModel: spec.modelId,
    datasets: spec.dataset,
    lora,
    recipe: new Map(
      Object.entries(Recipe.toJSON(recipe) as Record<string, string | number | boolean>).filter(
        ([, value]) => typeof value !== "object",
      ),
    ),
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

/** Everything that decides the run's future. */
export function checkpointFiles(facts: RunFacts, training: Training, cursor: CursorMessage): Files {
  const { recipe, totalSteps } = facts.prepared;
  const moments = new Map<string, FloatTensor>();
  for (const [name, { expAvg, expAvgSq }] of training.optimizerState.moments) {
    const shape = training.adapter.get(name)?.shape ?? [];
    moments.set(`exp_avg.${name}`, { shape, data: expAvg });
    moments.set(`exp_avg_sq.${name}`, { shape, data: expAvgSq });
  }
  const last = facts.steps.at(-1);
  const state = {
    run_id: facts.runId,
    epoch: last?.epoch ?? 0,
    step: training.version,
    total_steps: totalSteps,
    cursor: Cursor.toJSON(cursor),
    recipe: Recipe.toJSON(recipe),
    receipt: receiptOf(facts),
    steps: facts.steps.map(stepJson),
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
    recipe: Recipe.toJSON(prepared.recipe),
    steps: steps.map(stepJson),
    totals: { steps: steps.length, tokens: totalTokens(steps), seconds, duration: durationText(seconds) },
  };
  return new Map([...adapterFiles(facts, training), ["metrics.json", json(metrics)]]);
}

/** Hashes of what the result depends on: another value, another result. */
function receiptOf({ prepared, deviceClass }: RunFacts): Record<string, string> {
  return {
    model: prepared.source.modelHash,
    tokenizer: prepared.tokenizer.tokenizerHash,
    dataset: prepared.datasetHash,
    device_class: deviceClass,
  };
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
