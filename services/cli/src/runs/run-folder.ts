/** What an output folder says about its run: metrics.json or, without one, the newest checkpoint's trainer_state.json. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { valuesOfJson } from "@gradpool/recipe";
import {
  METRICS_FILE,
  newestByName,
  parseMetrics,
  parseTrainerState,
  TRAINER_STATE_FILE,
  type SavedState,
} from "@gradpool/run-folder";
import type { RunHistory } from "./run-history.js";

/** Of a million steps, and half as much again. */
const MAX_BYTES = 256 << 20;

/** Errors: `not_found` when there is no run in the folder, `data_loss` when its files cannot be used. */
export async function readRunFolder(folder: string): Promise<Omit<RunHistory, "name">> {
  const metrics = await read(folder, METRICS_FILE, parseMetrics);
  // Recovery points included.
  const [name] = newestByName(await readdir(folder));
  const newest = name === undefined ? undefined : await read(join(folder, name), TRAINER_STATE_FILE, parseTrainerState);
  if (metrics) {
    const { runId, runName, modelId, dataset, evalDataset, recipe, steps, evaluations } = metrics;
    const settings = { model_id: modelId, dataset, eval_dataset: evalDataset, ...valuesOfJson(recipe) };
    // A folder may hold checkpoints of several runs.
    const receipt = newest?.runId === runId ? receiptOf(newest) : undefined;
    return { runId, runName, settings, receipt, steps, evaluations };
  }
  if (!newest) {
    const advice = "name the folder that a run wrote into";
    throw new GradpoolError("not_found", `${folder} has neither metrics.json nor a checkpoint; ${advice}`);
  }
  const { runId, recipe, receipt, steps, evaluations } = newest;
  const settings = { dataset: receipt.dataset, eval_dataset: receipt.eval_dataset, ...valuesOfJson(recipe) };
  return { runId, runName: "", settings, receipt: receiptOf(newest), steps, evaluations };
}

/** Hashes and runtime; the data's names are among the settings. */
function receiptOf({ receipt }: SavedState): Record<string, unknown> {
  const { dataset: _dataset, eval_dataset: _evalDataset, ...hashes } = receipt;
  return hashes;
}

/** Undefined when there is no such file. Errors: `data_loss` when it is not what its name says. */
async function read<T extends object>(
  folder: string,
  name: string,
  parse: (bytes: Uint8Array) => T | string,
): Promise<T | undefined> {
  const bytes = await readBytes(join(folder, name));
  if (bytes === undefined) return undefined;
  const found = parse(bytes);
  if (typeof found !== "string") return found;
  throw new GradpoolError("data_loss", `${folder} cannot be used: ${found}; name another folder`);
}

async function readBytes(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size <= MAX_BYTES) return await file.readFile();
    throw new GradpoolError("data_loss", `${path} has ${size} bytes, too many for metrics; name another folder`);
  } catch (cause) {
    if (cause instanceof GradpoolError) throw cause;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new GradpoolError("permission_denied", `${path} cannot be read (${code}); make it readable`, { cause });
  }
}
