/** From flags to what is submitted. */
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { hubRepo } from "@gradpool/hub";
import { checkHeldOut, checkReportTo, checkRunNames, dataOf, evaluationField } from "@gradpool/recipe";
import type { Recipe, RunSpec } from "@gradpool/rpc";
import { absoluteOutputDir } from "@gradpool/service-kit";
import { checkedRecipeFrom, usable } from "../recipe-flags.js";
import { UsageError } from "../usage-error.js";

/** What commander gives for a run's flags: those of the recipe, and these. */
export interface RunFlags extends Record<string, unknown> {
  model_id: string;
  dataset: string[];
  eval_dataset?: string[];
  run_name?: string;
  tags?: string[];
  report_to?: string[];
  output_dir?: string;
  overwrite_output_dir?: boolean;
  /** Checkpoint folder, or LATEST. */
  resume_from?: string;
  resume_if_exists?: boolean;
  resume_weights_only?: boolean;
}

/** The newest good checkpoint in the output folder. */
export const LATEST = "latest";

/** Errors: UsageError for invalid flags. */
export function runSpecFrom(flags: RunFlags, now: Date): RunSpec & { recipe: Recipe } {
  const recipe = checkedRecipeFrom(flags);
  for (const flag of ["model_id", "output_dir", "resume_from"]) {
    if (flags[flag] === "") throw new UsageError(`--${flag} is empty; give a folder`);
  }
  const outputDir = flags.output_dir ?? defaultOutputDir(flags.model_id, now);
  const evalDataset = flags.eval_dataset ?? [];
  const data = { dataset: flags.dataset, evalDataset };
  const needing = !dataOf(data, recipe).heldOut && evaluationField(recipe);
  if (needing)
    throw new UsageError(`--${needing} needs --eval_dataset, --eval_split or --eval_fraction; add held-out data`);
  usable(() => checkHeldOut(data, recipe));
  const named = { runName: flags.run_name ?? "", tags: flags.tags ?? [] };
  usable(() => checkRunNames(named));
  const reported = { reportTo: flags.report_to ?? [] };
  usable(() => checkReportTo(reported));
  const { model_id: modelId, dataset, overwrite_output_dir: overwriteOutputDir = false } = flags;
  return {
    modelId,
    dataset,
    evalDataset,
    outputDir,
    overwriteOutputDir,
    ...named,
    ...reported,
    ...resumeOf(flags),
    recipe,
  };
}

function resumeOf(flags: RunFlags): Pick<RunSpec, "resumeFrom" | "resumeIfExists" | "resumeWeightsOnly"> {
  const {
    resume_from: from = "",
    resume_if_exists: ifExists = false,
    resume_weights_only: weightsOnly = false,
  } = flags;
  const modifier = ifExists ? "resume_if_exists" : weightsOnly ? "resume_weights_only" : undefined;
  if (from === "" && modifier) {
    throw new UsageError(`--${modifier} needs --resume_from; add --resume_from FOLDER or ${LATEST}`);
  }
  if (from === LATEST && flags.output_dir === undefined) {
    // The default folder's name has the time in it: there is never a checkpoint.
    throw new UsageError(`--resume_from ${LATEST} needs an output folder; name it with --output_dir`);
  }
  return { resumeFrom: from, resumeIfExists: ifExists, resumeWeightsOnly: weightsOnly };
}

/** outputs/<model>-<local date and time>. */
export function defaultOutputDir(modelId: string, now: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  return `outputs/${basename(resolve(modelId))}-${date}-${time}`;
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$/;

/**
 * The spec for a pool at `address`. On this machine it may run in another folder: relative paths become
 * absolute. On another machine they are that machine's own.
 */
export async function specForPool<S extends RunSpec>(spec: S, address: string): Promise<S> {
  if (!LOOPBACK.test(address)) return spec;
  const dataset = await Promise.all(spec.dataset.map(absolute));
  const evalDataset = await Promise.all(spec.evalDataset.map(absolute));
  const resumeFrom = ["", LATEST].includes(spec.resumeFrom) ? spec.resumeFrom : absoluteOutputDir(spec.resumeFrom);
  const modelId = await existing(spec.modelId);
  return { ...spec, dataset, evalDataset, modelId, outputDir: absoluteOutputDir(spec.outputDir), resumeFrom };
}

/** Names of the hub, and the built-in samples, stay as they are. */
async function absolute(source: string): Promise<string> {
  return source === "synthetic" || (await hubRepo(source, "dataset")) ? source : resolve(source);
}

/** Absolute if there is such a path; what is none may be a name that the pool knows. */
async function existing(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found ? resolve(path) : path;
}
