import { basename, dirname } from "node:path";
import { isCheckpointName } from "@gradpool/run-folder";
import { absoluteOutputDir } from "@gradpool/service-kit";
import { UsageError } from "../usage-error.js";

/** A checkpoint as named on the command line. */
export interface CheckpointPlace {
  /** Full path. */
  outputDir: string;
  /** Undefined: all of the folder's. */
  name: string | undefined;
}

/** From OUTPUT_DIR and NAME, or from a checkpoint's own folder. Errors: UsageError when NAME is given as well. */
export function placeOf(folder: string, name: string | undefined): CheckpointPlace {
  if (folder === "") throw new UsageError("OUTPUT_DIR is empty; name the folder that a run wrote into");
  const path = absoluteOutputDir(folder);
  if (!isCheckpointName(basename(path))) return { outputDir: path, name };
  if (name !== undefined) throw new UsageError(`${folder} is a checkpoint already; leave out ${JSON.stringify(name)}`);
  return { outputDir: dirname(path), name: basename(path) };
}

/** Where a command acts on one checkpoint. Errors: UsageError when there is no name. */
export function onePlaceOf(folder: string, name: string | undefined): { outputDir: string; name: string } {
  const place = placeOf(folder, name);
  if (place.name) return { outputDir: place.outputDir, name: place.name };
  throw new UsageError("NAME is missing; gradpool checkpoint list OUTPUT_DIR lists them");
}
