/**
 * The files a run writes: for a recovery point, a checkpoint, and the result. All but
 * trainer_state.json's `run` and metrics.json have the same bytes whenever the run is repeated (I2).
 */
import { isAbsolute } from "node:path";
import { adapterConfigJson, ALL_LINEAR, allLinearAsWritten, modelCard, writeAdapter } from "@gradpool/adapter";
import type { Cursor, Evaluation, RowCounts, RunSpec, StepMetrics } from "@gradpool/rpc";
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_FILE,
  MODEL_CARD_FILE,
  snakeKeys,
  totalTokens,
  TRAINER_STATE_FILE,
  trainerStateBytes,
  TRAINING_STATE_FILE,
  trainingStateBytes,
  type MetricsFacts,
} from "@gradpool/run-folder";
import type { BestAdapter } from "./best-adapter.js";
import type { PreparedRun } from "./preparation.js";
import { receiptOf } from "./receipt.js";
import type { Training } from "./training.js";
import type { Platform } from "./platform.js";

export type Files = Map<string, Uint8Array>;

export interface RunFacts {
  runId: string;
  /** How often it has changed hands between coordinators; 0: never. */
  ownerEpoch: number;
  spec: RunSpec;
  prepared: PreparedRun;
  steps: readonly StepMetrics[];
  rowCounts: RowCounts;
  evaluations: readonly Evaluation[];
  /** The current adapter is being evaluated. */
  evaluationPending: boolean;
  /** The adapter to write as the result; undefined: the last one. */
  best: BestAdapter | undefined;
  tokenizerFiles: Files;
  /** When its first step would have begun had nothing paused, in ms since 1970: see firstStepMs. */
  startMs: number;
  /** The platform of the trainers that served it. */
  platform: Platform;
}

const text = (content: string) => new TextEncoder().encode(content);

/** The base model as PEFT names it: a folder, or a hub repository with its revision as a separate value. */
function baseOf(
  { modelId }: RunSpec,
  { source }: Pick<PreparedRun, "source">,
): { baseModel: string; revision?: string } {
  const at = modelId.indexOf("@");
  if (isAbsolute(source.id) || at < 0) return { baseModel: modelId };
  return { baseModel: modelId.slice(0, at), revision: modelId.slice(at + 1) };
}

/** What PeftModel.from_pretrained loads, its tokenizer and its model card. */
function adapterFiles({ spec, prepared, steps, tokenizerFiles }: RunFacts, adapterFile: Uint8Array): Files {
  const { recipe, source, targets, tokenizer } = prepared;
  const { lora, ...settings } = recipe;
  const card = modelCard({
    baseModel: baseOf(spec, prepared).baseModel,
    datasets: spec.dataset,
    lora,
    recipe: new Map(Object.entries(snakeKeys(settings)) as [string, string | number | boolean][]),
    steps,
    tokens: totalTokens(steps),
    addedPadToken: tokenizer.padTokenAdded ? tokenizer.padToken : undefined,
  });
  const config = adapterConfigJson({
    ...baseOf(spec, prepared),
    lora,
    targetModules:
      lora.targetModules.join() === ALL_LINEAR
        ? allLinearAsWritten(targets.map(({ name }) => name))
        : lora.targetModules,
    fanInFanOut: source.model.description.fanInFanOut,
  });
  return new Map([
    [ADAPTER_CONFIG_FILE, text(config)],
    [ADAPTER_FILE, adapterFile],
    [MODEL_CARD_FILE, text(card)],
    ...tokenizerFiles,
  ]);
}

/** Everything that the rest of the run depends on, and no more. `cursor`: where its data is after the last step. */
export function recoveryFiles(facts: RunFacts, training: Training, cursor: Cursor): Files {
  const { runId, spec, prepared, steps, rowCounts, evaluations, evaluationPending, best, platform } = facts;
  const { recipe, totalSteps } = prepared;
  const receipt = receiptOf(spec, prepared, platform);
  const { adapter, optimizerState: optimizer, version, lossScaling } = training;
  const continuedRunIds = prepared.resumed?.continuedRunIds ?? [];
  const made = {
    steps,
    rowCounts,
    evaluations,
    evaluationPending,
    lossScaling,
    nextLearningRate: training.nextLearningRate,
  };
  const other = best?.step === version ? undefined : best?.tensors;
  return new Map([
    [ADAPTER_FILE, training.adapterFile()],
    [TRAINING_STATE_FILE, trainingStateBytes({ adapter, optimizer, best: other }, version)],
    [TRAINER_STATE_FILE, trainerStateBytes({ runId, continuedRunIds, recipe, totalSteps, receipt, cursor, ...made })],
  ]);
}

export function checkpointFiles(facts: RunFacts, training: Training, cursor: Cursor): Files {
  return new Map([...adapterFiles(facts, training.adapterFile()), ...recoveryFiles(facts, training, cursor)]);
}

/** What metrics.json says of the run so far. */
export function metricsFactsOf(facts: RunFacts, { lossScaling }: Training): MetricsFacts {
  const { runId, spec, prepared, steps, rowCounts, evaluations, best } = facts;
  const { runName, tags, modelId, dataset, evalDataset } = spec;
  const named = { runId, runName, tags };
  const heldOut = prepared.evalDataset && { evalDataset, evaluations, resultStep: best?.step ?? steps.length };
  return { ...named, modelId, dataset, recipe: prepared.recipe, steps, rowCounts, heldOut, lossScaling };
}

/** The adapter in output_dir. */
export function resultFiles(facts: RunFacts, training: Training): Files {
  const { best } = facts;
  const adapterFile = best ? writeAdapter(best.tensors) : training.adapterFile();
  return adapterFiles(facts, adapterFile);
}
