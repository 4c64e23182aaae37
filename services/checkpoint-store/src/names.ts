import { randomBytes } from "node:crypto";
import { isAbsolute, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { isCheckpointName } from "@gradpool/run-folder";

const STAGE = /^\.(.+)\.(saving|replaced|removing)-[0-9a-f]{16}$/;
/** More are not listed in a message. */
const MAX_NAMES_SHOWN = 10;

/** Folders that exist while a checkpoint is being changed; a crash may leave them. */
export type Stage = "saving" | "replaced" | "removing";

export function stageName(of: string, stage: Stage): string {
  return `.${of}.${stage}-${randomBytes(8).toString("hex")}`;
}

/** What a stage's name says; undefined for other names. */
export function parseStageName(entry: string): { of: string; stage: Stage } | undefined {
  const [, of = "", stage] = STAGE.exec(entry) ?? [];
  if (!isCheckpointName(of) && of !== "result" && of !== "lock") return undefined;
  return { of, stage: stage as Stage };
}

/** Names for a message: "a, b and 3 more". */
export function shortList(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES_SHOWN).join(", ");
  return names.length <= MAX_NAMES_SHOWN ? shown : `${shown} and ${names.length - MAX_NAMES_SHOWN} more`;
}

/** The folder's full, normal path. Errors: `invalid_argument` when it is not absolute. */
export function checkOutputDir(outputDir: string): string {
  if (!isAbsolute(outputDir) || outputDir.includes("\0")) {
    throw invalid(`output_dir ${JSON.stringify(outputDir)} is not an absolute path; name the folder from its root`);
  }
  return resolve(outputDir);
}

/** Errors: `invalid_argument`. */
export function checkRunId(runId: string): void {
  if (runId === "") throw invalid("run_id is empty; give the id of the run that writes");
}

function invalid(message: string): GradpoolError {
  return new GradpoolError("invalid_argument", message);
}
