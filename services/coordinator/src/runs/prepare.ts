/** A run's PREPARING: everything is examined before the first step, so that what cannot work fails with one clear line. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { initAdapter, parseAdapterConfig, readAdapter, type AdapterTensors } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets, type LinearModule } from "@gradpool/models";
import { DRY_RUN_ROWS, DRY_RUN_STEPS } from "@gradpool/recipe";
import type {
  BaseModel,
  DatasetSpec,
  DescribeDatasetResponse,
  LoraRecipe,
  Recipe,
  RunSpec,
  TokenizerInfo,
} from "@gradpool/rpc";
import { whileAway, type Services } from "../services.js";

/** A recipe with its adapter's part, as checkRecipe guarantees it. */
export type CompleteRecipe = Recipe & { lora: LoraRecipe };

export interface PreparedRun {
  recipe: CompleteRecipe;
  source: ModelSource;
  targets: LinearModule[];
  tokenizer: TokenizerInfo;
  dataset: DatasetSpec;
  datasetHash: string;
  rows: number;
  totalSteps: number;
  base: BaseModel;
  adapter: AdapterTensors;
  /** Absolute folder, claimed for the run. */
  outputDir: string;
  trainableParameters: number;
  allParameters: number;
}

/**
 * Nothing is written before all else is known to work: the output folder is claimed last.
 * `report` tells people what is being done. Errors: as the refusals below, and those of the services.
 */
export async function prepareRun(
  runId: string,
  spec: RunSpec,
  recipe: CompleteRecipe,
  services: Services,
  report: (doing: string) => void,
  signal: AbortSignal,
): Promise<PreparedRun> {
  report("opening the model");
  const source = await openModel(spec.modelId);
  const { description } = source.model;
  const targets = selectTargets(description, recipe.lora.targetModules);
  if (recipe.maxLength > description.maxPositions) {
    refuse(`max_length ${recipe.maxLength} is beyond the model's ${description.maxPositions} positions; lower it`);
  }
  report("loading the tokenizer");
  const tokenizer = await loadTokenizer(spec.modelId, recipe.padToken, services, signal);
  const padRow = needsPadRow(tokenizer, description.vocabSize);
  const adapter = await startingAdapter(recipe, targets);
  const trainableParameters = [...adapter.values()].reduce((sum, { data }) => sum + data.length, 0);

  const dataset = datasetOf(spec, recipe, tokenizer);
  const size = await measure(dataset, services, report, signal);
  report("claiming the output folder");
  const claim = { outputDir: resolve(spec.outputDir), runId };
  const { outputDir } = await whileAway(
    "checkpoint-store",
    () => services.checkpointStore.claim(claim, { signal }),
    signal,
  );
  const wholeSteps = Math.ceil(size.microBatchesPerEpoch / recipe.gradientAccumulation) * recipe.epochs;
  return {
    recipe,
    source,
    targets,
    tokenizer,
    dataset,
    datasetHash: size.datasetHash,
    rows: size.rows,
    totalSteps: recipe.dryRun ? Math.min(wholeSteps, DRY_RUN_STEPS) : wholeSteps,
    base: { modelId: source.dir, modelHash: source.modelHash, targetModules: targets.map(({ name }) => name), padRow },
    adapter,
    outputDir,
    trainableParameters,
    allParameters: description.parameters + (padRow ? description.parametersPerToken : 0) + trainableParameters,
  };
}

function datasetOf(spec: RunSpec, recipe: Recipe, { tokenizerHash }: TokenizerInfo): DatasetSpec {
  const { textColumn, padToken, maxLength, batchSize, appendEos, packing, shuffleBuffer, seed, dryRun } = recipe;
  const { promptColumn, completionColumn, messagesColumn, datasetWeights } = recipe;
  return {
    sources: spec.dataset,
    textColumn,
    tokenizer: { modelId: spec.modelId, padToken, tokenizerHash },
    maxLength,
    batchSize,
    appendEos,
    packing,
    shuffleBuffer,
    seed,
    maxRows: dryRun ? DRY_RUN_ROWS : 0,
    promptColumn,
    completionColumn,
    messagesColumn,
    sourceWeights: datasetWeights,
  };
}

function refuse(message: string): never {
  throw new GradpoolError("invalid_argument", message);
}

async function loadTokenizer(modelId: string, padToken: string, services: Services, signal: AbortSignal) {
  const request = { tokenizer: { modelId, padToken, tokenizerHash: "" } };
  const { info } = await whileAway("tokenizer", () => services.tokenizer.getTokenizer(request, { signal }), signal);
  if (!info) throw new Error("the tokenizer service gave no description");
  return info;
}

/** Whether the embedding grows by a row for an added pad token; a row to spare is used as it is. */
function needsPadRow({ vocabSize: tokens, padTokenAdded }: TokenizerInfo, embeddingRows: number): boolean {
  const own = padTokenAdded ? tokens - 1 : tokens;
  if (own > embeddingRows) {
    refuse(
      `the tokenizer has ${own} tokens, but the model's embedding only ${embeddingRows}; use the model's own tokenizer`,
    );
  }
  return tokens > embeddingRows;
}

async function startingAdapter(recipe: CompleteRecipe, targets: LinearModule[]): Promise<AdapterTensors> {
  const { r, alpha, useRslora, initAdapter: folder } = recipe.lora;
  if (!folder) return initAdapter(targets, r, recipe.seed);
  const config = parseAdapterConfig(parseJson(await readAdapterFile(folder, "adapter_config.json"), folder));
  const same = (flag: string, its: number | boolean, ours: number | boolean) => {
    if (its === ours) return;
    refuse(`init_adapter ${folder} has ${flag} ${its}, but the recipe ${ours}; give --${flag} ${its}`);
  };
  same("lora_r", config.r, r);
  same("lora_alpha", config.alpha, alpha);
  same("use_rslora", config.useRslora, useRslora);
  const file = join(folder, "adapter_model.safetensors");
  return readAdapter(await readAdapterFile(folder, "adapter_model.safetensors"), targets, r, file);
}

async function readAdapterFile(folder: string, file: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, file));
  } catch (cause) {
    const message = `init_adapter: ${join(folder, file)} cannot be read; give a folder that PEFT or gradpool saved`;
    throw new GradpoolError("not_found", message, { cause });
  }
}

function parseJson(text: Buffer, folder: string): unknown {
  try {
    return JSON.parse(text.toString("utf8"));
  } catch (cause) {
    const message = `init_adapter: ${join(folder, "adapter_config.json")} is not valid JSON; save the adapter again`;
    throw new GradpoolError("data_loss", message, { cause });
  }
}

function measure(
  dataset: DatasetSpec,
  services: Services,
  report: (doing: string) => void,
  signal: AbortSignal,
): Promise<DescribeDatasetResponse> {
  return whileAway(
    "data-stream",
    async (progressed) => {
      report("reading the data set");
      for await (const size of services.dataStream.describeDataset({ dataset }, { signal })) {
        if (size.complete) return size;
        progressed();
        const share = size.bytesTotal > 0 ? ` (${Math.floor((100 * size.bytesRead) / size.bytesTotal)} %)` : "";
        report(`reading the data set: ${size.rows.toLocaleString("en")} rows${share}`);
      }
      throw new GradpoolError("unavailable", "the data-stream service ended before the data set was read");
    },
    signal,
  );
}
