import { createHash, type Hash } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import { endedEarly } from "./byte-source.js";
import { openRange } from "./file-range.js";
import type { HubClient } from "./hub-client.js";
import { changedError, subjectLabel } from "./hub-errors.js";
import { PartialBlob } from "./partial-blob.js";
import type { RepoCache } from "./repo-cache.js";
import { etagOf, type RepoFile, type RepoListing } from "./repo-files.js";

/** Whole downloads of a file whose content then turns out to be wrong. */
const DAMAGED_DOWNLOADS = 2;
const READ_BYTES = 1024 * 1024;

/**
 * Downloads a file's content into the cache: resumes an earlier download, checks size and hash, and only
 * then gives it its name. `onBytes` is called with the bytes there so far. Errors: `data_loss` when it arrives damaged;
 * `failed_precondition` when it changed; what the hub refuses.
 */
export async function downloadBlob(
  client: HubClient,
  cache: RepoCache,
  listing: RepoListing,
  file: RepoFile,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const partial = await PartialBlob.claim(cache, file, onBytes, signal);
  if (!partial) return;
  try {
    const received = new Received(partial, file);
    await received.readBack(signal);
    for (let damaged = 0; ;) {
      onBytes(received.position);
      await receive(client, listing, file, received, onBytes, signal);
      const digest = received.digest();
      if (digest === etagOf(file)) break;
      if (++damaged === DAMAGED_DOWNLOADS) throw damagedError(listing, file, digest);
      await received.restart();
    }
    await partial.finish();
  } finally {
    await partial.release();
  }
}

async function receive(
  client: HubClient,
  listing: RepoListing,
  file: RepoFile,
  received: Received,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const retries = client.retries(signal);
  let furthest = received.position;
  while (received.position < file.sizeBytes) {
    try {
      const wanted = { start: received.position, end: file.sizeBytes };
      const range = await openRange(client, listing, file, wanted, signal);
      if (range.start !== received.position) await received.restart();
      for await (const chunk of range.bytes) {
        if (received.position + chunk.byteLength > file.sizeBytes) {
          throw changedError({ repo: listing.repo, path: file.path });
        }
        await received.append(chunk);
        // What comes again, because the hub sends only whole files, is not progress.
        retries.progress(Math.max(0, received.position - furthest));
        furthest = Math.max(furthest, received.position);
        onBytes(received.position);
      }
      if (received.position < file.sizeBytes) throw endedEarly(listing, file, received.position);
    } catch (reason) {
      await retries.after(reason);
    }
  }
}

/** A partial file's bytes and their hash, side by side. */
class Received {
  position = 0;
  #hash: Hash;

  constructor(
    readonly partial: PartialBlob,
    readonly file: RepoFile,
  ) {
    this.#hash = this.#newHash();
  }

  /** Resumes an earlier download. */
  async readBack(signal: AbortSignal): Promise<void> {
    const { size } = await this.partial.handle.stat();
    if (size > this.file.sizeBytes) return this.restart();
    const buffer = Buffer.alloc(Math.min(READ_BYTES, size));
    while (this.position < size) {
      signal.throwIfAborted();
      const { bytesRead } = await this.partial.handle.read(buffer, 0, buffer.byteLength, this.position);
      if (bytesRead === 0) throw new Error(`${this.partial.path} has another writer`);
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.position += bytesRead;
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    for (let done = 0; done < chunk.byteLength;) {
      const { bytesWritten } = await this.partial.handle.write(chunk, done, undefined, this.position + done);
      done += bytesWritten;
    }
    this.position += chunk.byteLength;
  }

  async restart(): Promise<void> {
    await this.partial.handle.truncate(0);
    this.position = 0;
    this.#hash = this.#newHash();
  }

  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  /** As the hub names contents: SHA-256, or git's SHA-1 of a blob. */
  #newHash(): Hash {
    if (this.file.lfsSha256 !== undefined) return createHash("sha256");
    return createHash("sha1").update(`blob ${this.file.sizeBytes}\0`);
  }
}

function damagedError({ repo }: RepoListing, file: RepoFile, digest: string): GradpoolError {
  const subject = subjectLabel({ repo, path: file.path });
  const advice = "try again later, or check HF_ENDPOINT and the network's proxy";
  const message = `${subject} is damaged: its hash is ${digest}, not ${etagOf(file)}; ${advice}`;
  return new GradpoolError("data_loss", message);
}
