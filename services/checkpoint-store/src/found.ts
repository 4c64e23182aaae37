import { GradpoolError } from "@gradpool/errors";
import type { Checkpoint } from "@gradpool/rpc";
import { isRecoveryName, placeOf, type Manifest, type ManifestFile } from "@gradpool/run-folder";
import { deepDamage, readManifest, shallowDamage } from "./checkpoint-folder.js";
import { errnoOf, type FileSystem, type OpenFile } from "./file-system.js";
import { shortList } from "./names.js";
import { locateCheckpoints } from "./output-folder.js";

/** A checkpoint as found in its output folder. */
export interface Found {
  name: string;
  /** Where it is now. */
  location: string;
  /** Undefined when it cannot be read; `damage` says why. */
  manifest: Manifest | undefined;
  /** Empty: none that shows. */
  damage: string;
}

/** Opens a file of a checkpoint at `location`, or says what is wrong with it. */
export type OpenListed = (location: string, file: ManifestFile) => Promise<OpenFile | string>;

/** Newest first; those without a readable manifest last. Errors: `not_found` when there is no such folder. */
export async function findAll(fs: FileSystem, folder: string): Promise<Found[]> {
  const found: Found[] = [];
  for (const [name, location] of await locate(fs, folder)) {
    const examined = await examine(fs, name, location);
    if (examined) found.push(examined);
  }
  return found.sort(newestFirst);
}

export function newestFirst(a: Found, b: Found): number {
  return savedAtMs(b) - savedAtMs(a) || stepOf(b) - stepOf(a);
}

/** Undefined when none has that name. Errors: `not_found` when there is no such folder. */
export async function findNamed(fs: FileSystem, folder: string, name: string): Promise<Found | undefined> {
  const location = (await locate(fs, folder)).get(name);
  return location === undefined ? undefined : examine(fs, name, location);
}

/** `not_found`, naming what exists. */
export function noCheckpoint(folder: string, name: string, all: readonly Found[]): GradpoolError {
  const present = all.map((other) => other.name);
  const advice = present.length === 0 ? "there are none" : `choose one of ${shortList(present)}`;
  return new GradpoolError("not_found", `there is no checkpoint ${name} in ${folder}; ${advice}`);
}

/**
 * `found` with all its files read. `again` looks it up again: files that change under a reader, because the
 * checkpoint is being replaced or removed, are not damage. Undefined when it is gone.
 */
export async function deeply(
  open: OpenListed,
  found: Found,
  again: () => Promise<Found | undefined>,
  signal: AbortSignal,
): Promise<Found | undefined> {
  for (let current = found; ;) {
    const { location, manifest } = current;
    const damage = current.damage || (await deepDamage((file) => open(location, file), manifest?.files ?? [], signal));
    if (!damage) return current;
    const now = await again();
    if (!now) return undefined;
    if (isSame(now, current)) return { ...now, damage };
    current = now;
  }
}

export function isSame(a: Found, b: Found): boolean {
  return (
    a.location === b.location && a.damage === b.damage && JSON.stringify(a.manifest) === JSON.stringify(b.manifest)
  );
}

/** Errors: `not_found`, naming the files that exist. */
export function listedFile(name: string, manifest: Manifest, path: string): ManifestFile {
  const file = manifest.files.find((candidate) => candidate.path === path);
  if (file) return file;
  const names = shortList(manifest.files.map((candidate) => candidate.path));
  throw new GradpoolError("not_found", `checkpoint ${name} has no file ${JSON.stringify(path)}; it has ${names}`);
}

export function asCheckpoint(folder: string, { name, manifest, damage }: Found): Checkpoint {
  const { epoch, step } = manifest ?? placeOf(name);
  const sizeBytes = manifest?.files.reduce((sum, file) => sum + file.sizeBytes, 0) ?? 0;
  return {
    name,
    path: `${folder}/${name}`,
    runId: manifest?.runId ?? "",
    epoch,
    step,
    savedAt: manifest?.savedAt,
    // The sizes in a damaged checkpoint may add up to more than a number can hold.
    sizeBytes: Math.min(sizeBytes, Number.MAX_SAFE_INTEGER),
    damage,
    recovery: isRecoveryName(name),
  };
}

export function savedAtMs({ manifest }: Found): number {
  return manifest?.savedAt.getTime() ?? Number.NEGATIVE_INFINITY;
}

/** By the manifest, or by the name where there is none. */
export function stepOf({ name, manifest }: Found): number {
  return (manifest ?? placeOf(name)).step;
}

async function locate(fs: FileSystem, folder: string): Promise<Map<string, string>> {
  try {
    return await locateCheckpoints(fs, folder);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new GradpoolError("not_found", `output_dir ${folder} does not exist; check its name`);
  }
}

/** Undefined when another process has since removed it. */
async function examine(fs: FileSystem, name: string, location: string): Promise<Found | undefined> {
  const manifest = await readManifest(fs, location);
  const problem = typeof manifest === "string";
  const damage = problem ? manifest : await shallowDamage(fs, location, manifest.files);
  if (damage && (await fs.kind(location)) === undefined) return undefined;
  return { name, location, manifest: problem ? undefined : manifest, damage };
}
