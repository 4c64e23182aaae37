/** A run's settings and numbers, whether from a pool or from the folder that it wrote into. */
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { recipeValues } from "@gradpool/recipe";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";
import type { Pool } from "./pool.js";
import { readRunFolder } from "./run-folder.js";

export interface RunHistory {
  /** As it was asked for. */
  name: string;
  runId: string;
  /** Base, data and recipe, under the flags' names. */
  settings: Record<string, unknown>;
  /** Hashes of what the result depends on; undefined where no checkpoint can be seen from here. */
  receipt: Record<string, unknown> | undefined;
  steps: readonly HistoryStep[];
  evaluations: readonly Pick<Evaluation, "step" | "loss">[];
}

export type HistoryStep = Pick<StepMetrics, "step" | "loss" | "learningRate" | "tokens" | "seconds">;

/** `named`: an output folder, or the id of a run of the pool. Errors: `not_found`, and those of both places. */
export async function readHistory(named: string, pool: () => Pool, signal: AbortSignal): Promise<RunHistory> {
  const found = await stat(named).catch(() => undefined);
  if (found?.isDirectory()) return { ...(await readRunFolder(named)), name: basename(resolve(named)) };
  if (/[/\\]/.test(named)) {
    throw new GradpoolError("not_found", `${named} is no folder; name an output folder or a run's id`);
  }
  const { run, steps, evaluations } = await pool().history(named, signal);
  const { spec, runId } = run;
  if (!spec?.recipe) throw new Error(`run ${runId} has no recipe`);
  const { modelId, dataset, evalDataset, outputDir } = spec;
  const settings = { model_id: modelId, dataset, eval_dataset: evalDataset, ...recipeValues(spec.recipe) };
  return { name: named, runId, settings, receipt: await ownReceipt(outputDir, runId), steps, evaluations };
}

/** Of a run whose folder is on this machine. */
async function ownReceipt(outputDir: string, runId: string): Promise<RunHistory["receipt"]> {
  const folder = await readRunFolder(outputDir).catch(() => undefined);
  return folder?.runId === runId ? folder.receipt : undefined;
}
