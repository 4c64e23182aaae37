/** Reads runs from pools and from output folders. */
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { recipeValues } from "@gradpool/recipe";
import type { CommandContext } from "../command-context.js";
import { withRun } from "./named-run.js";
import { Pool } from "./pool.js";
import { readRunFolder } from "./run-folder.js";
import type { RunHistory } from "./run-history.js";

/** Of several runs, in order. The pool is called when one of them is not a folder. Errors: those of readHistory. */
export async function readHistories(
  named: readonly string[],
  address: string,
  { output, config, interrupts }: CommandContext,
): Promise<RunHistory[]> {
  let pool: Pool | undefined;
  const poolAt = () => (pool ??= new Pool(address, config.access, (text) => output.note(text)));
  const histories: RunHistory[] = [];
  try {
    for (const one of named) histories.push(await readHistory(one, poolAt, interrupts.signal));
    return histories;
  } finally {
    pool?.[Symbol.dispose]();
  }
}

/** `named`: an output folder, or the id or the name of a run of the pool. Errors: `not_found`, and those of both places. */
async function readHistory(named: string, pool: () => Pool, signal: AbortSignal): Promise<RunHistory> {
  const found = await stat(named).catch(() => undefined);
  if (found?.isDirectory()) return { ...(await readRunFolder(named)), name: basename(resolve(named)) };
  if (/[/\\]/.test(named)) {
    throw new GradpoolError("not_found", `${named} is not a folder; name an output folder or a run's id`);
  }
  const { run, steps, evaluations } = await withRun(pool(), named, signal, (id) => pool().history(id, signal));
  const { spec, runId } = run;
  if (!spec?.recipe) throw new Error(`run ${runId} has no recipe`);
  const { runName, modelId, dataset, evalDataset, outputDir } = spec;
  const settings = { model_id: modelId, dataset, eval_dataset: evalDataset, ...recipeValues(spec.recipe) };
  const receipt = await ownReceipt(outputDir, runId);
  return { name: named, runId, runName, settings, receipt, steps, evaluations };
}

/** Of a run whose folder is on this machine. */
async function ownReceipt(outputDir: string, runId: string): Promise<RunHistory["receipt"]> {
  const folder = await readRunFolder(outputDir).catch(() => undefined);
  return folder?.runId === runId ? folder.receipt : undefined;
}
