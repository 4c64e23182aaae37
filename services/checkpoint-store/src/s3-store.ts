import type { Checkpoint, SaveFile, SaveHeader } from "@gradpool/rpc";
import { GradpoolError } from "@gradpool/errors";
import type { Logger } from "@gradpool/service-kit";
import type { ArtifactStore, LoadedPiece, LoadSelection } from "./artifact-store.js";
import { CheckpointReader } from "./checkpoint-reader.js";
import { DeleteRequests } from "./delete-requests.js";
import { FolderWork } from "./folder-work.js";
import { manifestBytes, type ManifestFile } from "./manifest.js";
import { checkCheckpointName, checkRunId, isRecoveryName, MANIFEST } from "./names.js";
import { checkS3Address, type S3Address } from "./s3/address.js";
import { NOTHING_THERE, type Bucket } from "./s3/bucket.js";
import { S3Claims, type Claim } from "./s3/claims.js";
import { S3Connection, type S3Settings } from "./s3/connection.js";
import { explainS3, isConditionFailed } from "./s3/errors.js";
import { ObjectWriter } from "./s3/object-writer.js";
import { openObject } from "./s3/open-object.js";
import { clearLeftovers, findAll, findNamed, freshPlace, removeCheckpoint, removePlace } from "./s3/output-prefix.js";
import { checkSaveHeader } from "./save-header.js";
import { surplus } from "./surplus.js";
import { writeUpload } from "./upload.js";

type Saved = Awaited<ReturnType<ArtifactStore["save"]>>;

/** Checkpoints and results in an object store with S3's interface; see s3/output-prefix.ts for how they stay whole (I5). */
export class S3Store implements ArtifactStore {
  readonly #connection: S3Connection;
  readonly #now: () => Date;
  readonly #claims = new S3Claims();
  readonly #reader: CheckpointReader;
  /** Whatever appears or disappears in an output folder does so alone. */
  readonly #work: FolderWork;
  /** Places that running saves write to. */
  readonly #active = new Set<string>();
  readonly #deletes = new DeleteRequests();
  readonly #saves = new Set<Promise<unknown>>();

  constructor(settings: S3Settings, now: () => Date, log: Logger) {
    this.#connection = new S3Connection(settings);
    this.#now = now;
    this.#work = new FolderWork(explainS3, log);
    const at = async <T>(url: string, work: (bucket: Bucket, prefix: string) => Promise<T>) => {
      const { bucket, prefix } = checkS3Address(url);
      return work(await this.#connection.bucket(bucket), prefix);
    };
    const source = {
      findAll: (url: string) => at(url, findAll),
      findNamed: (url: string, name: string) => at(url, (bucket, prefix) => findNamed(bucket, prefix, name)),
      open: (url: string, location: string, file: ManifestFile) =>
        at(url, (bucket) => openObject(bucket, location, file)),
    };
    this.#reader = new CheckpointReader(source, this.#work, log);
  }

  async claim(outputDir: string, runId: string): Promise<string> {
    const address = checkS3Address(outputDir);
    checkRunId(runId);
    await this.#work.alone(address.url, async () => this.#take(await this.#bucket(address), address, runId));
    return address.url;
  }

  async release(outputDir: string, runId: string): Promise<void> {
    const address = checkS3Address(outputDir);
    await this.#work.alone(address.url, () => this.#claims.release(address, runId));
  }

  async save(header: SaveHeader, data: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Saved> {
    checkSaveHeader(header);
    const saving = this.#save(checkS3Address(header.outputDir), header, data, signal);
    this.#saves.add(saving);
    try {
      return await saving;
    } finally {
      this.#saves.delete(saving);
    }
  }

  async #save(
    address: S3Address,
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Saved> {
    const { url, prefix } = address;
    const { name, runId } = header;
    const bucket = await this.#bucket(address);
    const { again, place } = await this.#work.alone(url, async () => {
      const { again, contested } = await this.#take(bucket, address, runId);
      const place = name === "" ? prefix : await freshPlace(bucket, `${prefix}${name}`, this.#active, contested);
      if (name !== "") this.#active.add(place);
      return { again, place };
    });
    try {
      const work = name === "" ? this.#saveResult : this.#saveCheckpoint;
      return await this.#work.explained(url, () => work.call(this, bucket, address, place, header, data, signal));
    } finally {
      this.#active.delete(place);
      // A run that never claimed the folder does not keep it.
      if (!again) await this.#work.tidy(url, () => this.release(url, runId));
    }
  }

  async #saveCheckpoint(
    bucket: Bucket,
    address: S3Address,
    place: string,
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Saved> {
    const { url, prefix } = address;
    const { name, runId, epoch, step } = header;
    let begun: ObjectWriter | undefined;
    try {
      const files = await writeUpload(
        async ({ path, sizeBytes }) => {
          const plan = { key: `${place}${path}`, sizeBytes, condition: NOTHING_THERE, later: false };
          return (begun = new ObjectWriter(bucket, plan, signal));
        },
        header.files,
        data,
        signal,
      );
      signal.throwIfAborted();
      const manifest = manifestBytes({ runId, epoch, step, savedAt: this.#now(), files });
      return await this.#work.alone(url, async () => {
        await this.#checkHeld(bucket, address, runId);
        await publish(bucket, `${place}${MANIFEST}`, manifest);
        // It is saved: what fails from here on must not look as if it were not.
        await this.#work.tidy(url, () => removeCheckpoint(bucket, prefix, name, place));
        await this.#work.tidy(url, () => this.#removeRecoveryPoints(bucket, prefix, name));
        const removed: string[] = [];
        await this.#work.tidy(url, () => this.#removeOld(bucket, address, header, removed));
        return { path: `${url}/${name}`, removed };
      });
    } catch (error) {
      await this.#work.tidy(url, async () => {
        await begun?.abandon();
        await removePlace(bucket, place);
      });
      throw isConditionFailed(error) ? takenError(url) : error;
    }
  }

  /** Each file appears at once; none before all have come. */
  async #saveResult(
    bucket: Bucket,
    address: S3Address,
    place: string,
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Saved> {
    const { url, prefix } = address;
    const begun: ObjectWriter[] = [];
    const create = async ({ path, sizeBytes }: SaveFile) => {
      const writer = new ObjectWriter(
        bucket,
        { key: `${place}${path}`, sizeBytes, condition: {}, later: true },
        signal,
      );
      begun.push(writer);
      return writer;
    };
    try {
      await writeUpload(create, header.files, data, signal);
      signal.throwIfAborted();
      await this.#work.alone(url, async () => {
        await this.#checkHeld(bucket, address, header.runId);
        for (const writer of begun) await writer.publish();
        await this.#work.tidy(url, () => this.#removeRecoveryPoints(bucket, prefix, ""));
      });
      return { path: url, removed: [] };
    } catch (error) {
      for (const writer of begun) await this.#work.tidy(url, () => writer.abandon());
      throw error;
    }
  }

  async #removeRecoveryPoints(bucket: Bucket, prefix: string, kept: string): Promise<void> {
    for (const { name } of await findAll(bucket, prefix)) {
      if (isRecoveryName(name) && name !== kept) await removeCheckpoint(bucket, prefix, name);
    }
  }

  /** keep_last_n. */
  async #removeOld(bucket: Bucket, { url, prefix }: S3Address, header: SaveHeader, removed: string[]): Promise<void> {
    for (const old of surplus(await findAll(bucket, prefix), header)) {
      await removeCheckpoint(bucket, prefix, old.name);
      removed.push(`${url}/${old.name}`);
    }
  }

  load(outputDir: string, selection: LoadSelection, signal: AbortSignal): AsyncIterable<LoadedPiece> {
    return this.#reader.load(checkS3Address(outputDir).url, selection, signal);
  }

  async list(outputDir: string): Promise<Checkpoint[]> {
    return this.#reader.list(checkS3Address(outputDir).url);
  }

  async verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]> {
    return this.#reader.verify(checkS3Address(outputDir).url, name, signal);
  }

  async remove(outputDir: string, name: string, requestId: string): Promise<void> {
    const address = checkS3Address(outputDir);
    checkCheckpointName(name);
    await this.#deletes.once(requestId, `${address.url}/${name}`, () =>
      this.#work.alone(address.url, async () => {
        await this.#reader.require(address.url, name);
        await removeCheckpoint(await this.#bucket(address), address.prefix, name);
      }),
    );
  }

  /** Waits for the saves whose calls have ended to clear up, then gives back all folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#saves);
    for (const [url, runId] of this.#claims.held) await this.#work.tidy(url, () => this.release(url, runId));
    await this.#connection.close();
  }

  #bucket({ bucket }: S3Address): Promise<Bucket> {
    return this.#connection.bucket(bucket);
  }

  /** Claims the folder, and clears up when another store had it before. */
  async #take(bucket: Bucket, address: S3Address, runId: string): Promise<Claim> {
    const claim = await this.#claims.take(bucket, address, runId);
    if (claim.fresh) await this.#work.tidy(address.url, () => clearLeftovers(bucket, address.prefix, this.#active));
    return claim;
  }

  /** A store that was cut off must not go on where another has taken over. */
  async #checkHeld(bucket: Bucket, address: S3Address, runId: string): Promise<void> {
    if (!(await this.#claims.holds(bucket, address, runId))) throw takenError(address.url);
  }
}

/** Puts the manifest where there is none. A first try whose answer was lost may have put it there already. */
async function publish(bucket: Bucket, key: string, manifest: Uint8Array): Promise<void> {
  try {
    await bucket.put(key, manifest, NOTHING_THERE);
  } catch (error) {
    if (!isConditionFailed(error)) throw error;
    const there = await bucket.small(key, manifest.byteLength);
    if (typeof there !== "object" || Buffer.compare(there.bytes, manifest) !== 0) throw error;
  }
}

/** `unavailable`: the save that is tried again finds a place of its own, or says who has the folder. */
function takenError(url: string): GradpoolError {
  return new GradpoolError("unavailable", `another store has taken over output_dir ${url} meanwhile; try again`);
}
