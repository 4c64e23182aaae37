/** What --adapter names: a folder, or a run of a pool. */
import { stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { CommandContext } from "../command-context.js";
import { Pool } from "../runs/pool.js";
import { AdapterFolder } from "./adapter-folder.js";

export interface AdapterFlags {
  /** Folder that PEFT saved, output folder of a run, or checkpoint; or the id of a run. */
  adapter?: string;
  /** "host:port" of the coordinator that is asked for a run. */
  address: string;
}

/** The adapter that the flags name; undefined when they name none. Errors: those of openAdapter. */
export async function adapterOf(
  { adapter, address }: AdapterFlags,
  context: CommandContext,
): Promise<AdapterFolder | undefined> {
  return adapter === undefined ? undefined : openAdapter(adapter, address, context);
}

/**
 * Opens the adapter's folder. A name without a separator that is not a path here is a run's id: the coordinator knows its
 * output folder. Errors: those of AdapterFolder.open; `not_found` when there is neither, or when the run's folder
 * is on another machine; `unavailable` when no coordinator answers.
 */
export async function openAdapter(adapter: string, address: string, context: CommandContext): Promise<AdapterFolder> {
  if (/[/\\]/.test(adapter) || adapter === "" || (await exists(adapter))) return AdapterFolder.open(adapter);
  const outputDir = await outputFolderOf(adapter, address, context);
  // A relative one is relative to a folder of the coordinator's.
  if (isAbsolute(outputDir) && (await exists(outputDir))) return AdapterFolder.open(outputDir);
  const problem = `adapter: run ${adapter} writes into ${outputDir} on the pool at ${address}, which is not on this machine`;
  throw new GradpoolError("not_found", `${problem}; copy that folder here and give its path to --adapter`);
}

async function outputFolderOf(
  runId: string,
  address: string,
  { output, config, interrupts }: CommandContext,
): Promise<string> {
  using pool = new Pool(address, config.access, (text) => output.note(text));
  try {
    return (await pool.get(runId, interrupts.signal)).spec?.outputDir ?? "";
  } catch (reason) {
    interrupts.signal.throwIfAborted();
    const error = GradpoolError.from(reason);
    if (error.code !== "not_found" && error.code !== "unavailable") throw error;
    const problem = `adapter: ${runId} is neither a folder here nor a known run id`;
    const why = error.code === "not_found" ? `the pool at ${address} has no such run` : error.message;
    throw new GradpoolError(error.code, `${problem}: ${why}`, { cause: error });
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
