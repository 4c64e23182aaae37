import { randomBytes } from "node:crypto";
import { isAbsolute, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";

export const MANIFEST = "manifest.json";
export const LOCK = ".gradpool.lock";

const CHECKPOINT = /^(?:checkpoint|\.recovery)-epoch(\d{1,10})-step(\d{1,10})$/;
const LEFTOVER =
  /^\.((?:checkpoint|\.recovery)-epoch\d+-step\d+|result|lock)\.(saving|replaced|removing)-[0-9a-f]{16}$/;
const MAX_NAME_BYTES = 255;
/** More are not listed in a message. */
const MAX_NAMES_SHOWN = 10;
const MAX_UINT32 = 0xffffffff;

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

/** Checkpoints that a recipe asks for, and recovery points. */
export function isCheckpointName(name: string): boolean {
  return CHECKPOINT.test(name);
}

/** A recovery point: what a run goes on from after a crash, and no more. */
export function isRecoveryName(name: string): boolean {
  return name.startsWith(".") && isCheckpointName(name);
}

/** What a checkpoint's name says of its place in training, for when its manifest cannot say it. */
export function placeOf(name: string): { epoch: number; step: number } {
  const [, epoch = "0", step = "0"] = CHECKPOINT.exec(name) ?? [];
  return { epoch: Math.min(Number(epoch), MAX_UINT32), step: Math.min(Number(step), MAX_UINT32) };
}

/** Names for a message: "a, b and 3 more". */
export function shortList(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES_SHOWN).join(", ");
  return names.length <= MAX_NAMES_SHOWN ? shown : `${shown} and ${names.length - MAX_NAMES_SHOWN} more`;
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
 * A file's name must be one plain, printable name: no folder, nothing hidden, nothing that the store itself uses.
 * Errors: `invalid_argument`.
 */
export function checkFileName(path: string): void {
  const plain = path !== "" && !/[/\\\p{Cc}]/u.test(path) && !path.startsWith(".");
  const free = path !== MANIFEST && !isCheckpointName(path) && Buffer.byteLength(path) <= MAX_NAME_BYTES;
  if (plain && free) return;
  const shown = JSON.stringify(path.slice(0, MAX_NAME_BYTES));
  throw invalid(`${shown} cannot be a file's name; use a plain one without a folder, such as adapter_config.json`);
}

function invalid(message: string): GradpoolError {
  return new GradpoolError("invalid_argument", message);
}
