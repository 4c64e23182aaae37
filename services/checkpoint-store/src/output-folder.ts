/**
 * An output folder and what may be in it. I5: a checkpoint exists when its manifest does.
 *
 *   checkpoint-epoch0-step10/                 a checkpoint
 *   .recovery-epoch0-step12/                  a recovery point: a checkpoint that the next save removes.
 *                                             Its stages begin with two dots
 *   .checkpoint-epoch0-step10.saving-…/       being written; leftover after a crash
 *   .checkpoint-epoch0-step10.replaced-…/     the old one while a new one is moved to its name. While
 *                                             the name itself is free, this is the checkpoint
 *   .checkpoint-epoch0-step10.removing-…/     being removed
 *   .result.saving-…/                         result files before they move into the output folder
 *   .gradpool.lock                            which run has claimed the folder
 *
 * Every change of what exists is one rename, and each is on disk before the next begins. So after a
 * crash between any two operations, readers find the old checkpoint or the new one.
 */
import { isCheckpointName } from "@gradpool/run-folder";
import { removeTree, type FileSystem } from "./file-system.js";
import { parseStageName, stageName } from "./names.js";

/** Where each checkpoint is, by name. */
export async function locateCheckpoints(fs: FileSystem, folder: string): Promise<Map<string, string>> {
  const located = new Map<string, string>();
  const entries = await fs.entries(folder);
  for (const entry of entries) {
    const stage = parseStageName(entry);
    if (stage?.stage === "replaced") located.set(stage.of, `${folder}/${entry}`);
  }
  for (const entry of entries) {
    if (isCheckpointName(entry) && (await fs.kind(`${folder}/${entry}`)) === "folder") {
      located.set(entry, `${folder}/${entry}`);
    }
  }
  return located;
}

/** Makes the complete folder `staged` the checkpoint `name`. Returns once it is on disk. */
export async function publish(fs: FileSystem, folder: string, name: string, staged: string): Promise<void> {
  const target = `${folder}/${name}`;
  await fs.syncFolder(staged);
  if ((await fs.kind(target)) !== undefined) {
    await fs.rename(target, `${folder}/${stageName(name, "replaced")}`);
    await fs.syncFolder(folder);
  }
  await fs.rename(staged, target);
  await fs.syncFolder(folder);
}

/**
 * Removes the checkpoint `name`; it disappears at once, its files later. What an interrupted replacement
 * left of an older one is removed first: it would come back in place of the removed one.
 */
export async function removeCheckpoint(fs: FileSystem, folder: string, name: string): Promise<void> {
  const replaced = (await fs.entries(folder)).filter((entry) => {
    const stage = parseStageName(entry);
    return stage?.stage === "replaced" && stage.of === name;
  });
  const there = (await fs.kind(`${folder}/${name}`)) === "folder" ? [...replaced, name] : replaced;
  for (const entry of there) {
    const aside = `${folder}/${stageName(name, "removing")}`;
    await fs.rename(`${folder}/${entry}`, aside);
    await fs.syncFolder(folder);
    await removeTree(fs, aside);
  }
}

/**
 * Cleans up after a crash; `active` are the stages of calls in progress. An interrupted
 * replacement is undone.
 */
export async function clearLeftovers(fs: FileSystem, folder: string, active: ReadonlySet<string>): Promise<void> {
  for (const entry of await fs.entries(folder)) {
    const path = `${folder}/${entry}`;
    const stage = parseStageName(entry);
    if (!stage || active.has(path)) continue;
    if (stage.stage === "replaced" && (await fs.kind(`${folder}/${stage.of}`)) === undefined) {
      await fs.rename(path, `${folder}/${stage.of}`);
      await fs.syncFolder(folder);
    } else {
      await removeTree(fs, path);
    }
  }
}
