/**
 * An output folder in an object store. I5: a checkpoint exists when its manifest does.
 *
 *   checkpoint-epoch0-step10/                     a checkpoint: its files, and last manifest.json
 *   checkpoint-epoch0-step10.0123456789abcdef/    one that was saved when its name was in use. Of several
 *                                                 with a manifest, the one saved last is the checkpoint
 *   .recovery-epoch0-step12/                      a recovery point
 *   .gradpool.lock                                which run has claimed the folder
 *   .gradpool.uploads.…                           uploads in parts that a store has begun and not ended
 *
 * Nothing can be renamed here, and a listing is not a snapshot. So nothing under a checkpoint's name is ever
 * overwritten: each save has its own place, and appears with one request, the manifest's.
 * A removal deletes the manifest first. Files without a manifest are a save in progress, or a leftover of one.
 */
import { randomBytes } from "node:crypto";
import {
  isCheckpointName,
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Manifest,
} from "@gradpool/run-folder";
import { newestFirst, type Found } from "../found.js";
import type { Bucket } from "./bucket.js";

/** A place as its folder's name, without a slash. */
const PLACE = /^(.+-step\d+)(?:\.[0-9a-f]{16})?$/;

/** The checkpoint that a folder belongs to; undefined for other folders. */
export function checkpointAt(folder: string): string | undefined {
  const name = PLACE.exec(folder)?.[1];
  return name !== undefined && isCheckpointName(name) ? name : undefined;
}

/**
 * The key prefix for the objects of a save under the checkpoint's key `plain`. A `contested` folder
 * may still be written to by the store that had it before, so that no plain place is safe from it.
 */
export async function freshPlace(
  bucket: Bucket,
  plain: string,
  active: ReadonlySet<string>,
  contested: boolean,
): Promise<string> {
  const isFree = !contested && !active.has(`${plain}/`) && (await bucket.objects(`${plain}/`)).length === 0;
  return isFree ? `${plain}/` : `${plain}.${randomBytes(8).toString("hex")}/`;
}

/** Newest first, one of each name; those without a readable manifest last. */
export async function findAll(bucket: Bucket, prefix: string): Promise<Found[]> {
  const all = await findPlaces(bucket, prefix);
  return all.filter((found, i) => all.findIndex(({ name }) => name === found.name) === i);
}

/** Names of all places, also those without a manifest. */
export async function namesUnder(bucket: Bucket, prefix: string): Promise<string[]> {
  const names = (await bucket.folders(prefix)).map(checkpointAt).filter((name) => name !== undefined);
  return [...new Set(names)];
}

/** Undefined when none has that name. */
export async function findNamed(bucket: Bucket, prefix: string, name: string): Promise<Found | undefined> {
  return (await findPlaces(bucket, prefix, name))[0];
}

/** All places with a manifest, or those of one name, newest first. */
async function findPlaces(bucket: Bucket, prefix: string, only = ""): Promise<Found[]> {
  const found: Found[] = [];
  for (const folder of await bucket.folders(`${prefix}${only}`)) {
    const name = checkpointAt(`${only}${folder}`);
    if (name === undefined || (only !== "" && name !== only)) continue;
    const examined = await examine(bucket, name, `${prefix}${only}${folder}/`);
    if (examined) found.push(examined);
  }
  return found.sort(newestFirst);
}

/** Undefined when there is no manifest (any longer). */
async function examine(bucket: Bucket, name: string, location: string): Promise<Found | undefined> {
  const sizes = new Map<string, number>();
  for (const { key, sizeBytes } of await bucket.objects(location)) sizes.set(key.slice(location.length), sizeBytes);
  if (!sizes.has(MANIFEST_FILE)) return undefined;
  const stored = await bucket.small(`${location}${MANIFEST_FILE}`, MAX_MANIFEST_BYTES);
  if (stored === undefined) return undefined;
  const manifest = stored === "too large" ? `${MANIFEST_FILE} is too large` : parseManifest(stored.bytes);
  if (typeof manifest === "string") return { name, location, manifest: undefined, damage: manifest };
  return { name, location, manifest, damage: damageOf(manifest, sizes) };
}

/** What is wrong with the files' sizes; empty: nothing. */
function damageOf({ files }: Manifest, sizes: ReadonlyMap<string, number>): string {
  for (const { path, sizeBytes } of files) {
    const size = sizes.get(path);
    if (size === undefined) return `file ${path} is missing`;
    if (size !== sizeBytes) return `file ${path} has ${size} bytes instead of ${sizeBytes}`;
  }
  return "";
}

/** Removes the checkpoint `name`, after older ones of the same name, which would come back in its place. */
export async function removeCheckpoint(bucket: Bucket, prefix: string, name: string, kept = ""): Promise<void> {
  for (const { location } of (await findPlaces(bucket, prefix, name)).reverse()) {
    if (location !== kept) await removePlace(bucket, location);
  }
}

/** Removes all under `location`, its manifest first. */
export async function removePlace(bucket: Bucket, location: string): Promise<void> {
  await bucket.delete(`${location}${MANIFEST_FILE}`);
  for (const { key } of await bucket.objects(location)) await bucket.delete(key);
}

/** Cleans up interrupted saves and removals after a crash; `active` are the places of saves in progress. */
export async function clearLeftovers(bucket: Bucket, prefix: string, active: ReadonlySet<string>): Promise<void> {
  const isLeftover = (folder: string) => checkpointAt(folder) !== undefined && !active.has(`${prefix}${folder}/`);
  for (const folder of (await bucket.folders(prefix)).filter(isLeftover)) {
    const location = `${prefix}${folder}/`;
    const objects = await bucket.objects(location);
    if (objects.some(({ key }) => key === `${location}${MANIFEST_FILE}`)) continue;
    for (const { key } of objects) await bucket.delete(key);
  }
}
