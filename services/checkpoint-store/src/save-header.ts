import { GradpoolError } from "@gradpool/errors";
import type { SaveHeader } from "@gradpool/rpc";
import { checkCheckpointName, checkFileName, checkResultFileName, MAX_FILES } from "@gradpool/run-folder";
import { checkRunId } from "./names.js";

/** Checks all but the output folder, which each store names in its own way. Errors: `invalid_argument`. */
export function checkSaveHeader({ runId, name, files, unfinished }: SaveHeader): void {
  checkRunId(runId);
  if (name !== "") checkCheckpointName(name);
  if (name !== "" && unfinished) {
    throw new GradpoolError(
      "invalid_argument",
      `unfinished is for results, not for the checkpoint ${name}; leave it out`,
    );
  }
  if (files.length === 0 || files.length > MAX_FILES) {
    throw new GradpoolError("invalid_argument", `${files.length} files to save; send between 1 and ${MAX_FILES}`);
  }
  const names = new Set<string>();
  for (const { path } of files) {
    if (name === "") checkResultFileName(path);
    else checkFileName(path);
    if (names.has(path)) throw new GradpoolError("invalid_argument", `file ${path} is listed twice; send it once`);
    names.add(path);
  }
}
