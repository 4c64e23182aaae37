/** Bytes of a file on the hub, from a place on. */
import { GradpoolError } from "@gradpool/errors";
import type { HubClient } from "./hub-client.js";
import { changedError, subjectLabel, TransientFailure, type Subject } from "./hub-errors.js";
import { etagOf, type RepoFile, type RepoListing } from "./repo-files.js";

export interface FileRange {
  /** Where the bytes begin: where asked for, or 0 where the hub sends whole files only. */
  start: number;
  bytes: AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Opens a file at `start` (less than its size): one attempt. Errors: `failed_precondition` when the file is not the
 * listed one; those of HubClient.open. The caller checks that all bytes came.
 */
export async function openRange(
  client: HubClient,
  listing: RepoListing,
  file: RepoFile,
  range: { start: number; end: number },
  signal: AbortSignal,
): Promise<FileRange> {
  const subject = { repo: listing.repo, path: file.path };
  // Compressed on the way, a range would count other bytes than ours.
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (range.start > 0 || range.end < file.sizeBytes) {
    headers["range"] = `bytes=${range.start}-${range.end - 1}`;
    // For hubs that serve the file themselves; storage behind a redirect uses other names.
    if (file.lfsSha256 === undefined) headers["if-range"] = `"${etagOf(file)}"`;
  }
  const response = await client.open(fileAddress(client, listing, file), headers, subject, signal);
  try {
    if (response.etag !== undefined && isHash(response.etag) && response.etag !== etagOf(file)) {
      throw changedError(subject);
    }
    const encoding = response.headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") throw reencoded(subject, encoding);
    if (response.status !== 206) return { start: 0, bytes: response.bytes };
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
    if (total !== "*" && total !== undefined && Number(total) !== file.sizeBytes) throw changedError(subject);
    if (Number(from) !== range.start) throw wrongRange(subject);
    return { start: range.start, bytes: response.bytes };
  } catch (error) {
    response.discard();
    throw error;
  }
}

/** Mirrors may give other names than the content's hash; those say nothing. */
const isHash = (etag: string) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag);

function fileAddress({ endpoint }: HubClient, { repo, commit }: RepoListing, { path }: RepoFile): string {
  const folder = repo.type === "dataset" ? "/datasets/" : "/";
  return `${endpoint}${folder}${repo.id}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

function reencoded(subject: Subject, encoding: string): GradpoolError {
  const message = `${subjectLabel(subject)} arrives encoded as ${encoding.slice(0, 20)}; use a proxy or mirror that does not change files`;
  return new GradpoolError("unavailable", message);
}

function wrongRange(subject: Subject): TransientFailure {
  const message = `the hub sends the wrong bytes of ${subjectLabel(subject)}; try again later`;
  return new TransientFailure(new GradpoolError("unavailable", message));
}
