/** Where a run starts: a new adapter, a given one, or a checkpoint to resume from. */
import { initAdapter } from "@gradpool/adapter";
import { isTooManyOpenFiles } from "@gradpool/errors";
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
  const resumed = await resumeAt(loaded, preparation, receipt, totalSteps);
  const adapter = await adapterFrom(loaded, base.targets, recipe.lora.r, preparation);
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
    const adapter = await startingAdapter(preparation, base);
    return { adapter, resumed: undefined, resumedFrom: undefined, notes: note ? [note] : [] };
  }
  const { path, state } = loaded;
  const { epoch, step } = state;
  const receipt = receiptOf(spec, { ...base, ...hashes }, theirsIfThere(loaded, platforms));
  return {
    resumed: spec.resumeWeightsOnly ? undefined : await resumeAt(loaded, preparation, receipt, totalSteps),
    adapter: await adapterFrom(loaded, base.targets, recipe.lora.r, preparation),
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

async function startingAdapter({ recipe, services, outages, signal }: Preparation, { source, targets }: Base) {
  const { lora, seed, dtype } = recipe;
  const read = <T>(files: () => Promise<T>) => outages.waitOut("coordinator", files, signal, isTooManyOpenFiles);
  if (lora.initAdapter) return read(() => services.models.adapter(lora, targets, signal));
  const choice = { modelId: source.id, dtype };
  const norms = lora.useDora ? await read(() => services.models.norms(choice, targets, signal)) : undefined;
  return initAdapter(targets, lora.r, seed, norms);
}
