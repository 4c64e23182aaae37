/** Taking a run's output folder, unless that would replace what is not the run's. */
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { ResumePoint } from "@gradpool/rpc";
import { absoluteOutputDir, OBJECT_STORE_SCHEME } from "@gradpool/service-kit";
import type { OpenedModel } from "./opened-model.js";
import type { Preparation } from "./preparation.js";

/**
 * Claims the run's output folder; gives its full name. A folder with a result of another run is taken only by a run that
 * resumes from a checkpoint in it, or with overwrite_output_dir. Errors: `invalid_argument` for the model's own folder;
 * those of Claim.
 */
export async function claimFolder(
  { runId, ownerEpoch, spec, services, outages, signal }: Preparation,
  source: Pick<OpenedModel, "id" | "dir" | "weightsDir">,
  resumedFrom: ResumePoint | undefined,
): Promise<string> {
  const folder = absoluteOutputDir(spec.outputDir);
  if (!folder.startsWith(OBJECT_STORE_SCHEME)) await refuseModelFolder(folder, source);
  const resumesThere = resumedFrom !== undefined && !resumedFrom.weightsOnly && dirname(resumedFrom.path) === folder;
  const keepResult = !spec.overwriteOutputDir && !resumesThere;
  const claim = { outputDir: folder, runId, ownerEpoch, keepResult };
  const take = () => services.checkpointStore.claim(claim, { signal });
  const { outputDir } = await outages.waitOut("checkpoint-store", take, signal);
  return outputDir;
}

/** A result would replace the model's README.md and tokenizer. */
async function refuseModelFolder(folder: string, { id, dir, weightsDir }: Parameters<typeof claimFolder>[1]) {
  const real = (path: string) => realpath(path).catch(() => path);
  const place = await real(folder);
  for (const path of [dir, weightsDir, ...(id.endsWith(".gguf") ? [dirname(id)] : [])]) {
    if ((await real(path)) !== place) continue;
    const problem = `output_dir ${folder} is the model's own folder`;
    throw new GradpoolError("invalid_argument", `${problem}; choose another --output_dir`);
  }
}
