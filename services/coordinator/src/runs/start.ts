/** Where a run starts: a new adapter, a given one, or a checkpoint to resume from. */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { adapterOf, initAdapter, parseAdapterConfig, readAdapter, type AdapterTensors } from "@gradpool/adapter";
import { GradpoolError, parseJson } from "@gradpool/errors";
import { TORCH_ADAPTER, torchAdapter, weightNorms } from "@gradpool/model-source";
import type { CheckedRecipe } from "@gradpool/recipe";
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE } from "@gradpool/run-folder";
import { absoluteOutputDir } from "@gradpool/service-kit";
import type { Preparation, PreparedRun } from "./preparation.js";
import {
  adapterFrom,
  damageNotes,
  loadNamed,
  loadOwn,
  longerNotes,
  resumeAt,
  type LoadedCheckpoint,
} from "./resume.js";
import { platformName, type Platform } from "./platform.js";
import { receiptOf, type DatasetHashes } from "./receipt.js";

type Base = Pick<PreparedRun, "source" | "targets" | "tokenizer">;
type Start = Pick<PreparedRun, "adapter" | "resumed" | "resumedFrom">;
type OwnStart = Start & DatasetHashes & Pick<PreparedRun, "rows" | "totalSteps">;

/**
 * The start of a run that was prepared before and has since saved something, with the counts of its data
 * set; only notes when it starts from scratch. Errors: those of resumeAt, when the base has changed.
 */
export async function ownStart(preparation: Preparation, base: Base): Promise<{ own?: OwnStart; notes: string[] }> {
  const { runId, spec, recipe, before } = preparation;
  if (!before) return { notes: [] };
  const { loaded, note } = await loadOwn(runId, absoluteOutputDir(spec.outputDir), preparation);
  if (!loaded) return { notes: note ? [note] : [] };
  // The data set itself is compared when its stream is opened: it need not be counted again.
  const { receipt: theirs } = loaded.state;
  const hashes = { datasetHash: theirs.dataset_hash, evalDatasetHash: theirs.eval_dataset_hash };
  const platform = { deviceClass: theirs.device_class, version: theirs.runtime };
  const receipt = receiptOf(spec, { ...base, ...hashes }, platform);
  const { step, totalSteps } = loaded.state;
  const resumed = resumeAt(loaded, preparation, receipt, totalSteps);
  const adapter = adapterFrom(loaded, base.targets, recipe.lora.r);
  const notes = [...damageNotes(loaded), `interrupted; resumed after step ${step}`];
  const { rows, resumedFrom } = before;
  return { own: { adapter, resumed, resumedFrom, ...hashes, rows, totalSteps }, notes };
}

/** The start that the spec asks for. Errors: those of loadNamed and resumeAt. */
export async function chosenStart(
  preparation: Preparation,
  base: Base,
  { totalSteps, ...hashes }: DatasetHashes & { totalSteps: number },
): Promise<Start & { notes: string[] }> {
  const { spec, recipe, platforms } = preparation;
  const { loaded, note } = await loadNamed(spec, preparation);
  if (!loaded) {
    const adapter = await startingAdapter(recipe, base);
    return { adapter, resumed: undefined, resumedFrom: undefined, notes: note ? [note] : [] };
  }
  const { path, state } = loaded;
  const { epoch, step } = state;
  const receipt = receiptOf(spec, { ...base, ...hashes }, theirsIfThere(loaded, platforms));
  return {
    resumed: spec.resumeWeightsOnly ? undefined : resumeAt(loaded, preparation, receipt, totalSteps),
    adapter: adapterFrom(loaded, base.targets, recipe.lora.r),
    resumedFrom: { path, epoch, step, weightsOnly: spec.resumeWeightsOnly },
    notes: [...damageNotes(loaded), ...(spec.resumeWeightsOnly ? [] : longerNotes(loaded, recipe, totalSteps))],
  };
}

/** The platform that made the checkpoint, if the pool has it or may still get it; else one that the pool has. */
function theirsIfThere({ state }: LoadedCheckpoint, platforms: Platform[]): Platform {
  const theirs = { deviceClass: state.receipt.device_class, version: state.receipt.runtime };
  const [first = theirs] = platforms;
  return platforms.some((other) => platformName(other) === platformName(theirs)) ? theirs : first;
}

async function startingAdapter(recipe: CheckedRecipe, { source, targets }: Base): Promise<AdapterTensors> {
  const { r, alpha, useRslora, useDora, rankPattern, alphaPattern, initAdapter: folder } = recipe.lora;
  if (!folder) return initAdapter(targets, r, recipe.seed, useDora ? await weightNorms(source, targets) : undefined);
  const config = parseAdapterConfig(adapterJson(await readAdapterFile(folder, ADAPTER_CONFIG_FILE), folder));
  const same = (flag: string, its: number | boolean | string, ours: number | boolean | string) => {
    if (its === ours) return;
    refuse(`init_adapter ${folder} has ${flag} ${its}, but the recipe ${ours}; give --${flag} ${its}`);
  };
  same("lora_r", config.r, r);
  same("lora_alpha", config.alpha, alpha);
  same("use_rslora", config.useRslora, useRslora);
  same("use_dora", config.useDora, useDora);
  same("rank_pattern", patternText(config.rankPattern), patternText(rankPattern));
  same("alpha_pattern", patternText(config.alphaPattern), patternText(alphaPattern));
  const isThere = (name: string) =>
    access(join(folder, name)).then(
      () => true,
      () => false,
    );
  if (!(await isThere(ADAPTER_FILE)) && (await isThere(TORCH_ADAPTER))) {
    const file = await readAdapterFile(folder, TORCH_ADAPTER);
    return adapterOf(await torchAdapter(file, join(folder, TORCH_ADAPTER)), targets, r);
  }
  return readAdapter(await readAdapterFile(folder, ADAPTER_FILE), targets, r, join(folder, ADAPTER_FILE));
}

/** As the command line takes it, in one order: PEFT sorts them when it saves. */
const patternText = (patterns: Readonly<Record<string, number>>) =>
  Object.entries(patterns)
    .map(([pattern, value]) => `${pattern}=${value}`)
    .sort()
    .join(",");

async function readAdapterFile(folder: string, file: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, file));
  } catch (cause) {
    const message = `init_adapter: ${join(folder, file)} cannot be read; give a folder that PEFT or gradpool saved`;
    throw new GradpoolError("not_found", message, { cause });
  }
}

function adapterJson(text: Buffer, folder: string): unknown {
  try {
    return parseJson(text.toString("utf8"));
  } catch (cause) {
    const message = `init_adapter: ${join(folder, ADAPTER_CONFIG_FILE)} is not valid JSON; save the adapter again`;
    throw new GradpoolError("data_loss", message, { cause });
  }
}

function refuse(message: string): never {
  throw new GradpoolError("invalid_argument", message);
}
