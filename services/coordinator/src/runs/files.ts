/**
 * The files that a run leaves: of a recovery point, of a checkpoint, and of the result. All but
 * trainer_state.json's `run` and metrics.json have the same bytes whenever the run is repeated (I2).
 */
import { adapterConfigJson, modelCard, writeAdapter } from "@gradpool/adapter";
import { recipeJson } from "@gradpool/recipe";
import type { Cursor, Evaluation, RunSpec, StepMetrics } from "@gradpool/rpc";
import { writeSafetensors } from "@gradpool/safetensors";
import type { BestAdapter } from "./best-adapter.js";
import type { PreparedRun } from "./prepare.js";
import { receiptOf, snakeKeys, stepJson, trainerStateJson } from "./trainer-state.js";
import { stateTensors, type Training } from "./training.js";

export type Files = Map<string, Uint8Array>;

export const ADAPTER_FILE = "adapter_model.safetensors";
export const MOMENTS_FILE = "training_state.safetensors";
export const STATE_FILE = "trainer_state.json";

export interface RunFacts {
  runId: string;
  spec: RunSpec;
  prepared: PreparedRun;
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  /** The adapter as it is is being evaluated. */
  evaluationPending: boolean;
  /** The adapter that is to be the result; undefined: the last one. */
  best: BestAdapter | undefined;
  tokenizerFiles: Files;
  /** Of the trainers that served it. */
  runtime: { deviceClass: string; version: string };
}

const text = (content: string) => new TextEncoder().encode(content);
const json = (value: unknown) => text(`${JSON.stringify(value, undefined, 2)}\n`);

/** What PeftModel.from_pretrained loads, its tokenizer and its model card. */
function adapterFiles({ spec, prepared, steps, tokenizerFiles }: RunFacts, adapterFile: Uint8Array): Files {
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
    [ADAPTER_FILE, adapterFile],
    ["README.md", text(card)],
    ...tokenizerFiles,
  ]);
}

/** Everything that decides the run's future, and no more. `cursor`: where its data stands behind the last step. */
export function recoveryFiles(facts: RunFacts, training: Training, cursor: Cursor): Files {
  const { runId, spec, prepared, steps, evaluations, evaluationPending, best, runtime } = facts;
  const { recipe, totalSteps } = prepared;
  const receipt = receiptOf(spec, prepared, runtime);
  const { lossScaling } = training;
  const metrics = { steps, evaluations, evaluationPending, lossScaling };
  const state = trainerStateJson({ runId, recipe, totalSteps, receipt, cursor, ...metrics });
  const other = best?.step === training.version ? undefined : best?.tensors;
  return new Map([
    [ADAPTER_FILE, training.adapterFile()],
    [MOMENTS_FILE, writeSafetensors(stateTensors(training, other), { step: String(training.version) })],
    [STATE_FILE, json(state)],
  ]);
}

export function checkpointFiles(facts: RunFacts, training: Training, cursor: Cursor): Files {
  return new Map([...adapterFiles(facts, training.adapterFile()), ...recoveryFiles(facts, training, cursor)]);
}

/** The result in output_dir; charts come from elsewhere. */
export function resultFiles(facts: RunFacts, training: Training): Files {
  const { runId, spec, prepared, steps, evaluations, best } = facts;
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const metrics = {
    run_id: runId,
    model_id: spec.modelId,
    dataset: spec.dataset,
    ...(prepared.evalDataset && { eval_dataset: spec.evalDataset }),
    recipe: recipeJson(prepared.recipe),
    steps: steps.map(stepJson),
    ...(prepared.evalDataset && { evaluations, result_step: best?.step ?? steps.length }),
    ...(training.lossScaling && { loss_scaling: snakeKeys(training.lossScaling) }),
    totals: { steps: steps.length, tokens: totalTokens(steps), seconds, duration: durationText(seconds) },
  };
  const adapterFile = best ? writeAdapter(best.tensors) : training.adapterFile();
  return new Map([...adapterFiles(facts, adapterFile), ["metrics.json", json(metrics)]]);
}

const totalTokens = (steps: readonly StepMetrics[]) => steps.reduce((sum, { tokens }) => sum + tokens, 0);

/** h:mm:ss. */
function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
