import { randomBytes } from "node:crypto";
import { isAbsolute, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";

export const MANIFEST = "manifest.json";
export const LOCK = ".gradpool.lock";

const CHECKPOINT = /^checkpoint-epoch\d{1,10}-step\d{1,10}$/;
const LEFTOVER = /^\.(checkpoint-epoch\d+-step\d+|result|lock)\.(saving|replaced|removing)-[0-9a-f]{16}$/;
const MAX_NAME_BYTES = 255;

/** Names of the folders that exist while something happens to a checkpoint; a crash may leave them behind. */
export type Stage = "saving" | "replaced" | "removing";

export function stageName(of: string, stage: Stage): string {
  return `.${of}.${stage}-${randomBytes(8).toString("hex")}`;
}

/** What a stage's name says; undefined for other names. */
export function parseStageName(entry: string): { of: string; stage: Stage } | undefined {
  const match = LEFTOVER.exec(entry);
  return match ? { of: match[1] as string, stage: match[2] as Stage } : undefined;
}

export function isCheckpointName(name: string): boolean {
  return CHECKPOINT.test(name);
}

/** The folder's full, normal path. Errors: `invalid_argument` when it is not absolute. */
export function checkOutputDir(outputDir: string): string {
  if (!isAbsolute(outputDir) || outputDir.includes("\0")) {
    throw invalid(`output_dir ${JSON.stringify(outputDir)} is no absolute path; name the folder from its root on`);
  }
  return resolve(outputDir);
}

/** Errors: `invalid_argument`. */
export function checkCheckpointName(name: string): void {
  if (isCheckpointName(name)) return;
  throw invalid(`${JSON.stringify(name)} is no checkpoint's name; it must look like checkpoint-epoch0-step10`);
}

/** Errors: `invalid_argument`. */
export function checkRunId(runId: string): void {
  if (runId === "") throw invalid("run_id is empty; give the id of the run that writes");
}

/**
 * A file's name must be one plain name: no folder, nothing hidden, nothing that the store itself uses.
 * Errors: `invalid_argument`.
 */
export function checkFileName(path: string): void {
  const plain = path !== "" && !/[/\\\0]/.test(path) && !path.startsWith(".");
  const free = path !== MANIFEST && !isCheckpointName(path) && Buffer.byteLength(path) <= MAX_NAME_BYTES;
  if (plain && free) return;
  const shown = JSON.stringify(path.slice(0, MAX_NAME_BYTES));
  throw invalid(`${shown} cannot be a file's name; use a plain one without a folder, such as adapter_config.json`);
}

function invalid(message: string): GradpoolError {
  return new GradpoolError("invalid_argument", message);
}
