/** Prepares a run: everything is checked before the first step, so that what cannot work fails with one clear line. */
import { adaptedModules, ownScalings } from "@gradpool/adapter";
import { GradpoolError, isTooManyOpenFiles } from "@gradpool/errors";
import { count } from "@gradpool/format";
import { namedTargets, selectTargets, type ModelDescription } from "@gradpool/models";
import {
  checkPositions,
  dataOf,
  datasetFields,
  DRY_RUN_ROWS,
  DRY_RUN_STEPS,
  type CheckedRecipe,
  type DataUse,
} from "@gradpool/recipe";
import type { DatasetSpec, DescribeDatasetResponse, Recipe, TokenizerInfo } from "@gradpool/rpc";
import { claimFolder } from "./claim-folder.js";
import { checkMemory } from "./memory.js";
import type { OpenedModel } from "./opened-model.js";
import type { Preparation, PreparedRun } from "./preparation.js";
import type { DatasetHashes } from "./receipt.js";
import { checkNotes, lacksTargets, noTarget, NO_ROWS } from "./row-counts.js";
import { chosenStart, ownStart } from "./start.js";

/**
 * Nothing is written until all else is known to work: the output folder is claimed last. Errors: the
 * refusals below, and those of the services.
 */
export async function prepareRun(asked: Preparation): Promise<PreparedRun> {
  const { spec, services, report, signal } = asked;
  report("opening the model");
  const choice = { modelId: spec.modelId, dtype: asked.recipe.dtype };
  const open = () => services.models.open(choice, signal, report);
  const source = await asked.outages.waitOut("coordinator", open, signal, isTooManyOpenFiles);
  const { description } = source.model;
  const recipe = withTargets(asked.recipe, description);
  const preparation = { ...asked, recipe };
  const targets = adaptedModules(selectTargets(description, recipe.lora.targetModules), recipe.lora);
  // A run that has begun fitted before.
  if (!asked.before) checkMemory(targets, recipe.lora.r);
  const scalings = ownScalings(targets, recipe.lora);
  checkPositions(recipe, description.maxPositions);
  report("loading the tokenizer");
  const tokenizer = await loadTokenizer(source, preparation);
  const padRow = needsPadRow(tokenizer, description.vocabSize);
  const { training, heldOut } = dataOf(spec, recipe);
  const dataset = datasetOf(training, source, tokenizer);
  const base = { source, targets, tokenizer };
  const { own, notes } = await ownStart(preparation, base);
  const evalDataset = heldOut && datasetOf(heldOut, source, tokenizer);
  const size = own ?? (await measure(dataset, evalDataset, tokenizer, preparation));
  const { datasetHash, evalDatasetHash, totalSteps } = size;
  const start = own ?? (await chosenStart(preparation, base, { datasetHash, evalDatasetHash, totalSteps }));
  if ("notes" in start) notes.push(...start.notes, ...targetNotes(asked.recipe, recipe, description));
  if (!own) notes.push(...source.notes, ...tokenizer.notes);
  if ("found" in size) notes.push(...size.found);
  report("claiming the output folder");
  const { adapter, resumed, resumedFrom } = start;
  const outputDir = await claimFolder(preparation, source, resumedFrom);
  const trainableParameters = [...adapter.values()].reduce((sum, { data }) => sum + data.length, 0);
  return {
    ...{
      recipe,
      ...base,
      ownScalings: scalings,
      dataset,
      evalDataset,
      datasetHash,
      evalDatasetHash,
      adapter,
      resumed,
      resumedFrom,
      notes,
      outputDir,
      trainableParameters,
    },
    ...{ rows: size.rows, totalSteps },
    base: { modelId: source.id, modelHash: source.modelHash, targetModules: targets.map(({ name }) => name), padRow },
    allParameters: description.parameters + (padRow ? description.parametersPerToken : 0) + trainableParameters,
  };
}

/** Fills in the model's default modules where the recipe names none. */
function withTargets(recipe: CheckedRecipe, description: ModelDescription): CheckedRecipe {
  const targetModules = namedTargets(description, recipe.lora.targetModules);
  return { ...recipe, lora: { ...recipe.lora, targetModules } };
}

/** Notes what was chosen, where it differs from GPT-2's. */
function targetNotes(
  { lora: asked }: CheckedRecipe,
  { lora }: CheckedRecipe,
  { modelType }: ModelDescription,
): string[] {
  if (asked.targetModules.join() === lora.targetModules.join() || modelType === "gpt2") return [];
  return [`target_modules: ${lora.targetModules.join(", ")}, which PEFT adapts by default in a ${modelType}`];
}

function datasetOf(
  { sources, recipe, heldOut }: DataUse,
  source: OpenedModel,
  { tokenizerHash }: TokenizerInfo,
): DatasetSpec {
  return {
    ...datasetFields(recipe),
    ...{ sources, heldOut },
    tokenizer: { modelId: source.id, padToken: recipe.padToken, tokenizerHash },
    maxRows: recipe.dryRun ? DRY_RUN_ROWS : 0,
  };
}

function refuse(message: string): never {
  throw new GradpoolError("invalid_argument", message);
}

async function loadTokenizer(
  source: OpenedModel,
  { recipe, services, outages, signal }: Preparation,
): Promise<TokenizerInfo> {
  const request = { tokenizer: { modelId: source.id, padToken: recipe.padToken, tokenizerHash: "" } };
  const load = () => services.tokenizer.getTokenizer(request, { signal });
  const { info } = await outages.waitOut("tokenizer", load, signal);
  if (!info) throw new Error("the tokenizer service gave no description");
  return info;
}

/** Whether the embedding grows by a row for an added pad token; a spare row is used as it is. */
function needsPadRow({ vocabSize: tokens, padTokenAdded }: TokenizerInfo, embeddingRows: number): boolean {
  const own = padTokenAdded ? tokens - 1 : tokens;
  if (own > embeddingRows) {
    refuse(
      `the tokenizer has ${own} tokens, but the model's embedding has only ${embeddingRows} rows; use the model's own tokenizer`,
    );
  }
  return tokens > embeddingRows;
}

interface DatasetSize extends DatasetHashes {
  rows: number;
  totalSteps: number;
  /** What a person should know of the first rows. */
  found: string[];
}

/** Of a run: the most that a count of steps in the contract can hold. */
const MAX_STEPS = 2 ** 32 - 1;

/** Counts the data sets and looks at their first rows. Errors: `failed_precondition` when no row has a target. */
async function measure(
  dataset: DatasetSpec,
  evalDataset: DatasetSpec | undefined,
  tokenizer: TokenizerInfo,
  preparation: Preparation,
): Promise<DatasetSize> {
  const { recipe } = preparation;
  const counted = { ...dataset, maxRows: rowsToCount(dataset, recipe) };
  const size = await describe(counted, "the data set", preparation);
  const { rows, datasetHash, microBatchesPerEpoch } = size;
  // With max_steps there may be more rows than are counted.
  const isWhole = counted.maxRows === dataset.maxRows || rows < counted.maxRows;
  if (isWhole && lacksTargets(size)) throw noTarget(size.checked ?? NO_ROWS, recipe, tokenizer);
  const heldOut = evalDataset && (await describe(evalDataset, "the held-out data", preparation));
  if (heldOut && lacksTargets(heldOut)) throw noTarget(heldOut.checked ?? NO_ROWS, recipe, tokenizer, "eval_dataset");
  const found = [
    ...(heldOut?.splits ?? []).map((split) => `held-out data: ${split}`),
    ...checkNotes(size, recipe, isWhole),
    ...(heldOut ? checkNotes(heldOut, recipe, true).map((note) => `eval_dataset: ${note}`) : []),
  ];
  const stepsPerEpoch = Math.ceil(microBatchesPerEpoch / recipe.gradientAccumulation);
  const wholeSteps = recipe.maxSteps > 0 ? recipe.maxSteps : stepsPerEpoch * recipe.epochs;
  if (wholeSteps > MAX_STEPS) refuse(`the run would have ${wholeSteps} steps, more than ${MAX_STEPS}; lower epochs`);
  const totalSteps = recipe.dryRun ? Math.min(wholeSteps, DRY_RUN_STEPS) : wholeSteps;
  return { rows, datasetHash, evalDatasetHash: heldOut?.datasetHash ?? "", totalSteps, found };
}

function describe(
  dataset: DatasetSpec,
  name: string,
  { services, outages, report, signal }: Preparation,
): Promise<DescribeDatasetResponse> {
  const count = async (progressed: () => void): Promise<DescribeDatasetResponse> => {
    report(`reading ${name}`);
    const begin = performance.now();
    for await (const size of services.dataStream.describeDataset({ dataset, checkRows: true }, { signal })) {
      if (size.complete) return size;
      progressed();
      report(countingText(name, size, performance.now() - begin));
    }
    throw new GradpoolError("unavailable", "the data-stream service ended before the data set was read");
  };
  return outages.waitOut("data-stream", count, signal);
}

/** For users: "reading the data set: 1,200,000 rows (40 %, about 12 s left)". */
function countingText(name: string, size: DescribeDatasetResponse, elapsedMs: number): string {
  const text = `reading ${name}: ${count(size.rows)} rows`;
  const share = size.bytesTotal > 0 ? Math.min(1, size.bytesRead / size.bytesTotal) : 0;
  if (share === 0) return text;
  const leftSeconds = Math.ceil((elapsedMs / 1000) * (1 / share - 1));
  return `${text} (${Math.floor(100 * share)} %, about ${count(leftSeconds)} s left)`;
}

/** With max_steps, a data set is read only as far as needed: it may be very large and remote. */
function rowsToCount({ maxRows, batchSize, packing }: DatasetSpec, { maxSteps, gradientAccumulation }: Recipe): number {
  if (maxSteps <= 0 || packing) return maxRows;
  const enough = maxSteps * gradientAccumulation * batchSize;
  return maxRows > 0 ? Math.min(maxRows, enough) : enough;
}

/** Enough passes over the data for all steps, each of which has at least one row. */
export const enoughEpochs = ({ epochs, maxSteps }: Recipe): number => (maxSteps > 0 ? maxSteps : epochs);
