import { randomUUID } from "node:crypto";
import type { SaveFile, SaveHeader } from "@gradpool/rpc";
import { MANIFEST_FILE, type ManifestFile } from "@gradpool/run-folder";
import type { Claimant } from "../artifact-store.js";
import { takenOver } from "../claims.js";
import type { OpenFile } from "../file-system.js";
import type { Found } from "../found.js";
import type { OutputFolders, Stage } from "../output-folders.js";
import { checkS3Address, type S3Address } from "./address.js";
import { NOTHING_THERE, type Bucket } from "./bucket.js";
import { S3Claims } from "./claims.js";
import { S3Connection, type S3Settings } from "./connection.js";
import { explainS3, isConditionFailed } from "./errors.js";
import { ObjectWriter } from "./object-writer.js";
import { openObject } from "./open-object.js";
import {
  clearLeftovers,
  findAll,
  findNamed,
  freshPlace,
  namesUnder,
  removeCheckpoint,
  removePlace,
} from "./output-prefix.js";
import { Uploads } from "./uploads.js";

/** Output folders in an object store with S3's interface; see output-prefix.ts for how they stay whole (I5). */
export class S3Folders implements OutputFolders {
  readonly #connection: S3Connection;
  readonly #owner = randomUUID();
  readonly #claims = new S3Claims(this.#owner);
  /** By the folder's URL. */
  readonly #uploads = new Map<string, Uploads>();
  /** Places that running saves write to. */
  readonly #active = new Set<string>();

  constructor(settings: S3Settings) {
    this.#connection = new S3Connection(settings);
  }

  nameOf(outputDir: string): string {
    return checkS3Address(outputDir).url;
  }

  explain(error: unknown, url: string): unknown {
    return isConditionFailed(error) ? takenOver(url) : explainS3(error, url);
  }

  async take(url: string, claimant: Claimant): Promise<{ again: boolean; unclean: boolean }> {
    const { bucket, address } = await this.#at(url);
    const { again, fresh } = await this.#claims.take(bucket, address, claimant);
    return { again, unclean: fresh };
  }

  async checkHeld(url: string, claimant: Claimant): Promise<void> {
    const { bucket, address } = await this.#at(url);
    await this.#claims.checkHeld(bucket, address, claimant);
  }

  async refuseOlder(url: string, claimant: Claimant): Promise<void> {
    const { bucket, address } = await this.#at(url);
    await this.#claims.refuseOlder(bucket, address, claimant);
  }

  release(url: string, claimant: Claimant): Promise<void> {
    return this.#claims.release(checkS3Address(url), claimant);
  }

  get taken(): [url: string, claimant: Claimant][] {
    return this.#claims.held;
  }

  async stage(url: string, { name }: SaveHeader, signal: AbortSignal): Promise<Stage> {
    const { bucket, prefix, uploads } = await this.#at(url);
    const saving = { bucket, uploads, prefix, name, signal };
    if (name === "") return new ResultStage(saving);
    const place = await freshPlace(bucket, `${prefix}${name}`, this.#active, this.#claims.isContested(url));
    return new CheckpointStage(saving, place, this.#active);
  }

  async head(url: string, file: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const { bucket, prefix } = await this.#at(url);
    const found = await bucket.head(`${prefix}${file}`);
    if (!found || found.sizeBytes === 0) return found && new Uint8Array();
    return bucket.read(`${prefix}${file}`, found.etag, 0, maxBytes);
  }

  async names(url: string): Promise<string[]> {
    const { bucket, prefix } = await this.#at(url);
    return namesUnder(bucket, prefix);
  }

  async findAll(url: string): Promise<Found[]> {
    const { bucket, prefix } = await this.#at(url);
    return findAll(bucket, prefix);
  }

  async findNamed(url: string, name: string): Promise<Found | undefined> {
    const { bucket, prefix } = await this.#at(url);
    return findNamed(bucket, prefix, name);
  }

  async open(url: string, location: string, file: ManifestFile): Promise<OpenFile | string> {
    const { bucket } = await this.#at(url);
    return openObject(bucket, location, file);
  }

  async remove(url: string, name: string): Promise<void> {
    const { bucket, prefix } = await this.#at(url);
    await removeCheckpoint(bucket, prefix, name);
  }

  async clearLeftovers(url: string): Promise<void> {
    const { bucket, prefix, uploads } = await this.#at(url);
    await uploads.clearOthers(prefix);
    await clearLeftovers(bucket, prefix, this.#active);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #at(url: string): Promise<{ bucket: Bucket; address: S3Address; prefix: string; uploads: Uploads }> {
    const address = checkS3Address(url);
    const { prefix } = address;
    const bucket = await this.#connection.bucket(address.bucket);
    const uploads = this.#uploads.get(address.url) ?? new Uploads(bucket, prefix, this.#owner);
    this.#uploads.set(address.url, uploads);
    return { bucket, address, prefix, uploads };
  }
}

interface Saving {
  bucket: Bucket;
  uploads: Uploads;
  prefix: string;
  name: string;
  signal: AbortSignal;
}

/** Objects at their own place, which appears with the manifest. */
class CheckpointStage implements Stage {
  readonly #saving: Saving;
  readonly #place: string;
  readonly #active: Set<string>;
  #begun: ObjectWriter | undefined;
  #published = false;

  constructor(saving: Saving, place: string, active: Set<string>) {
    this.#saving = saving;
    this.#place = place;
    this.#active = active;
    active.add(place);
  }

  async create({ path, sizeBytes }: SaveFile): Promise<ObjectWriter> {
    const { signal } = this.#saving;
    const plan = { key: `${this.#place}${path}`, sizeBytes, condition: NOTHING_THERE, later: false };
    return (this.#begun = new ObjectWriter(this.#saving, plan, signal));
  }

  async publish(manifest: Uint8Array): Promise<void> {
    const { bucket } = this.#saving;
    await putManifest(bucket, `${this.#place}${MANIFEST_FILE}`, manifest);
    this.#published = true;
  }

  removeReplaced(): Promise<void> {
    const { bucket, prefix, name } = this.#saving;
    return removeCheckpoint(bucket, prefix, name, this.#place);
  }

  async end(): Promise<void> {
    this.#active.delete(this.#place);
    if (this.#published) return;
    await this.#begun?.abandon();
    await removePlace(this.#saving.bucket, this.#place);
  }
}

/** Objects under their final keys: each appears at once, and only after all have arrived. */
class ResultStage implements Stage {
  readonly #saving: Saving;
  readonly #begun: ObjectWriter[] = [];

  constructor(saving: Saving) {
    this.#saving = saving;
  }

  async create({ path, sizeBytes }: SaveFile): Promise<ObjectWriter> {
    const { prefix, signal } = this.#saving;
    const plan = { key: `${prefix}${path}`, sizeBytes, condition: {}, later: true };
    const writer = new ObjectWriter(this.#saving, plan, signal);
    this.#begun.push(writer);
    return writer;
  }

  async publish(): Promise<void> {
    for (const writer of this.#begun) await writer.publish();
  }

  async removeReplaced(): Promise<void> {}

  async end(): Promise<void> {
    await Promise.all(this.#begun.map((writer) => writer.abandon()));
  }
}

/** Puts the manifest where there is none. A first attempt whose response was lost may have put it there already. */
async function putManifest(bucket: Bucket, key: string, manifest: Uint8Array): Promise<void> {
  try {
    await bucket.put(key, manifest, NOTHING_THERE);
  } catch (error) {
    if (!isConditionFailed(error)) throw error;
    const there = await bucket.small(key, manifest.byteLength);
    if (typeof there !== "object" || Buffer.compare(there.bytes, manifest) !== 0) throw error;
  }
}
