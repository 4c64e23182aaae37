/** A file that is read in place, without being downloaded as a whole. */
import { createReadStream } from "node:fs";
import { GradpoolError } from "@gradpool/errors";
import { openRange } from "./file-range.js";
import type { HubClient } from "./hub-client.js";
import { changedError, subjectLabel, TransientFailure } from "./hub-errors.js";
import { etagOf, type RepoFile, type RepoListing } from "./repo-files.js";
import { repoLabel } from "./repo-name.js";

export interface ByteSource {
  /** "org/name@revision/path": for messages, and for its ending. */
  name: string;
  sizeBytes: number;
  /** The same as long as the content is: "commit/etag". */
  version: string;
  /**
   * Bytes from `start` to before `end` (the file's end by default), as they come, in constant memory. A broken
   * connection is resumed where it broke. Errors: `failed_precondition` when the file changed since it was
   * listed, and what the hub refuses.
   */
  read(range: { start: number; end?: number; signal: AbortSignal }): AsyncGenerator<Uint8Array, void, undefined>;
}

/** A file of the hub; `cached` is its path in the cache, if it is there. */
export function byteSource(
  client: HubClient,
  listing: RepoListing,
  file: RepoFile,
  cached: string | undefined,
): ByteSource {
  return {
    name: `${repoLabel(listing.repo)}/${file.path}`,
    sizeBytes: file.sizeBytes,
    version: `${listing.commit}/${etagOf(file)}`,
    read({ start, end = file.sizeBytes, signal }) {
      const range = { start, end: Math.min(end, file.sizeBytes) };
      return cached === undefined
        ? readRemote(client, listing, file, range, signal)
        : readCached(listing, file, cached, range, signal);
    },
  };
}

async function* readRemote(
  client: HubClient,
  listing: RepoListing,
  file: RepoFile,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const retries = client.retries(signal);
  let position = start;
  while (position < end) {
    try {
      const range = await openRange(client, listing, file, { start: position, end }, signal);
      let at = range.start;
      for await (const chunk of range.bytes) {
        // Of a file that comes whole, what is before is dropped.
        const wanted = chunk.subarray(Math.max(0, position - at), Math.max(0, end - at));
        at += chunk.byteLength;
        if (wanted.byteLength > 0) {
          position += wanted.byteLength;
          retries.progress(wanted.byteLength);
          yield wanted;
        }
        if (position === end) return;
      }
      throw endedEarly(listing, file, position);
    } catch (reason) {
      await retries.after(reason);
    }
  }
}

/** The transfer ended early, but as if it were complete. */
export function endedEarly({ repo }: RepoListing, file: RepoFile, position: number): TransientFailure {
  const subject = subjectLabel({ repo, path: file.path });
  const message = `${subject} is truncated at byte ${position} of ${file.sizeBytes}; try again later, or check HF_ENDPOINT`;
  return new TransientFailure(new GradpoolError("data_loss", message));
}

async function* readCached(
  { repo }: RepoListing,
  file: RepoFile,
  path: string,
  { start, end }: { start: number; end: number },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let position = start;
  if (position >= end) return;
  for await (const chunk of createReadStream(path, { start, end: end - 1, signal }) as AsyncIterable<Buffer>) {
    position += chunk.byteLength;
    yield chunk;
  }
  if (position < end) throw changedError({ repo, path: file.path });
}
