/** A run's PREPARING: everything is examined before the first step, so that what cannot work fails with one clear line. */
import { resolve } from "node:path";
import { ownScalings, withRanks, type AdaptedModule, type AdapterTensors } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { DRY_RUN_ROWS, DRY_RUN_STEPS } from "@gradpool/recipe";
import type {
  BaseModel,
  DatasetSpec,
  DescribeDatasetResponse,
  LoraRecipe,
  Recipe,
  ResumePoint,
  RunSpec,
  TokenizerInfo,
} from "@gradpool/rpc";
import type { CheckpointSource, Resumed } from "./resume.js";
import { chosenStart, ownStart, type Runtime } from "./start.js";

/** A recipe with its adapter's part, as checkRecipe guarantees it. */
export type CompleteRecipe = Recipe & { lora: LoraRecipe };

export interface PreparedRun {
  recipe: CompleteRecipe;
  source: ModelSource;
  targets: AdaptedModule[];
  /** Scalings of the targets that have another than the adapter. */
  ownScalings: ReadonlyMap<string, number>;
  tokenizer: TokenizerInfo;
  dataset: DatasetSpec;
  datasetHash: string;
  rows: number;
  totalSteps: number;
  base: BaseModel;
  /** As it is before the next step. */
  adapter: AdapterTensors;
  /** The state that it goes on from; undefined: its first step is the first. */
  resumed: Resumed | undefined;
  /** The checkpoint that its spec asked to go on from. */
  resumedFrom: ResumePoint | undefined;
  /** What people should know of its start. */
  notes: string[];
  /** Absolute folder, claimed for the run. */
  outputDir: string;
  trainableParameters: number;
  allParameters: number;
}

/** What a run is prepared with. */
export interface Preparation extends CheckpointSource {
  runId: string;
  spec: RunSpec;
  recipe: CompleteRecipe;
  /** What was found when the run was prepared before: it then goes on from what it saved itself. */
  before: Pick<PreparedRun, "rows" | "resumedFrom"> | undefined;
  /** Of the trainers in the pool. */
  runtimes: Runtime[];
  /** Tells people what is being done. */
  report: (doing: string) => void;
}

/**
 * Nothing is written before all else is known to work: the output folder is claimed last. Errors: as the
 * refusals below, and those of the services.
 */
export async function prepareRun(preparation: Preparation): Promise<PreparedRun> {
  const { runId, spec, recipe, services, patience, report, signal } = preparation;
  report("opening the model");
  const source = await openModel(spec.modelId);
  const { description } = source.model;
  const targets = withRanks(selectTargets(description, recipe.lora.targetModules), recipe.lora);
  const scalings = ownScalings(targets, recipe.lora);
  if (recipe.maxLength > description.maxPositions) {
    refuse(`max_length ${recipe.maxLength} is beyond the model's ${description.maxPositions} positions; lower it`);
  }
  report("loading the tokenizer");
  const tokenizer = await loadTokenizer(preparation);
  const padRow = needsPadRow(tokenizer, description.vocabSize);
  const dataset = datasetOf(spec, recipe, tokenizer);
  const base = { source, targets, tokenizer };
  const { own, notes } = await ownStart(preparation, base);
  const size = own ?? (await measure(dataset, preparation));
  const start = own ?? (await chosenStart(preparation, base, size.datasetHash));
  if ("notes" in start) notes.push(...start.notes);
  report("claiming the output folder");
  const claim = { outputDir: resolve(spec.outputDir), runId };
  const { outputDir } = await patience.through(
    "checkpoint-store",
    () => services.checkpointStore.claim(claim, { signal }),
    signal,
  );
  const { adapter, resumed, resumedFrom } = start;
  const trainableParameters = [...adapter.values()].reduce((sum, { data }) => sum + data.length, 0);
  return {
    ...{
      recipe,
      ...base,
      ownScalings: scalings,
      dataset,
      adapter,
      resumed,
      resumedFrom,
      notes,
      outputDir,
      trainableParameters,
    },
    ...{ datasetHash: size.datasetHash, rows: size.rows, totalSteps: size.totalSteps },
    base: { modelId: source.dir, modelHash: source.modelHash, targetModules: targets.map(({ name }) => name), padRow },
    allParameters: description.parameters + (padRow ? description.parametersPerToken : 0) + trainableParameters,
  };
}

function datasetOf(spec: RunSpec, recipe: Recipe, { tokenizerHash }: TokenizerInfo): DatasetSpec {
  const { textColumn, padToken, maxLength, batchSize, appendEos, packing, shuffleBuffer, seed, dryRun } = recipe;
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
  };
}

function refuse(message: string): never {
  throw new GradpoolError("invalid_argument", message);
}

async function loadTokenizer({ spec, recipe, services, patience, signal }: Preparation): Promise<TokenizerInfo> {
  const request = { tokenizer: { modelId: spec.modelId, padToken: recipe.padToken, tokenizerHash: "" } };
  const load = () => services.tokenizer.getTokenizer(request, { signal });
  const { info } = await patience.through("tokenizer", load, signal);
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

interface DatasetSize {
  datasetHash: string;
  rows: number;
  totalSteps: number;
}

/** Counts the data set. */
async function measure(dataset: DatasetSpec, { recipe, ...preparation }: Preparation): Promise<DatasetSize> {
  const { services, patience, report, signal } = preparation;
  const count = async (progressed: () => void): Promise<DescribeDatasetResponse> => {
    report("reading the data set");
    for await (const size of services.dataStream.describeDataset({ dataset }, { signal })) {
      if (size.complete) return size;
      progressed();
      const share = size.bytesTotal > 0 ? ` (${Math.floor((100 * size.bytesRead) / size.bytesTotal)} %)` : "";
      report(`reading the data set: ${size.rows.toLocaleString("en")} rows${share}`);
    }
    throw new GradpoolError("unavailable", "the data-stream service ended before the data set was read");
  };
  const { rows, datasetHash, microBatchesPerEpoch } = await patience.through("data-stream", count, signal);
  const wholeSteps = Math.ceil(microBatchesPerEpoch / recipe.gradientAccumulation) * recipe.epochs;
  return { rows, datasetHash, totalSteps: recipe.dryRun ? Math.min(wholeSteps, DRY_RUN_STEPS) : wholeSteps };
}
