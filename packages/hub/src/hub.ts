/** The Hugging Face hub, and the cache that it shares with Python's huggingface_hub. */
import { GradpoolError } from "@gradpool/errors";
import { byteSource, type ByteSource } from "./byte-source.js";
import { downloadBlob } from "./download-blob.js";
import { HubClient } from "./hub-client.js";
import { FILES_AT_ONCE } from "./limits.js";
import { cacheError, RepoCache } from "./repo-cache.js";
import { COMMIT, commitOf, filesAt, type RepoFile, type RepoListing } from "./repo-files.js";
import { repoLabel, type Repo } from "./repo-name.js";
import { hubSettings, type HubSettings } from "./settings.js";

export interface DownloadProgress {
  /** Bytes downloaded, of all files asked for. */
  doneBytes: number;
  totalBytes: number;
  doneFiles: number;
  totalFiles: number;
}

export interface DownloadOptions {
  /** Called at every chunk. */
  onProgress?: (progress: DownloadProgress) => void;
  signal: AbortSignal;
}

export class Hub {
  readonly #client: HubClient;
  readonly #cacheDir: string;
  readonly #offline: boolean;

  constructor(settings: HubSettings) {
    this.#client = new HubClient(settings);
    this.#cacheDir = settings.cacheDir;
    this.#offline = settings.offline;
  }

  /** From the environment, as a Python program reads it. Errors: as hubSettings. */
  static fromEnv(env: NodeJS.ProcessEnv): Hub {
    return new Hub(hubSettings(env));
  }

  /**
   * The files of a repository. When the hub may not be asked (HF_HUB_OFFLINE) or cannot be reached, what the cache
   * knows, and `fromCache` says so. Errors: `not_found`, `permission_denied`, `unavailable`, `resource_exhausted`,
   * each saying what to do.
   */
  async list(repo: Repo, signal: AbortSignal): Promise<RepoListing> {
    const cache = new RepoCache(this.#cacheDir, repo);
    if (this.#offline) {
      const listing = await cachedListing(cache, repo, "HF_HUB_OFFLINE is set");
      if (listing) return listing;
      const message = `${repoLabel(repo)} is not in the cache ${cache.folder}; unset HF_HUB_OFFLINE to download it`;
      throw new GradpoolError("not_found", message);
    }
    try {
      const commit = COMMIT.test(repo.revision) ? repo.revision : await commitOf(this.#client, repo, signal);
      // Asked for each time, though a commit never changes: a broken mirror's answer must not last.
      const files = await filesAt(this.#client, repo, commit, signal);
      // Without this the listing is still right; a read-only cache must not prevent reading.
      await cache.writeRef(repo.revision, commit).catch(() => {});
      await cache.writeTree(commit, files).catch(() => {});
      return { repo, commit, files };
    } catch (error) {
      if (!(error instanceof GradpoolError) || error.code !== "unavailable") throw error;
      const listing = await cachedListing(cache, repo, error.message);
      if (listing) return listing;
      throw error;
    }
  }

  /**
   * Downloads files of a listing into the cache, several at a time, and returns the snapshot's folder. Errors: as
   * `list`; `data_loss` for a file that arrives damaged; `failed_precondition` for one that changed since it was
   * listed; offline `not_found`, naming what is missing.
   */
  async download(listing: RepoListing, files: readonly RepoFile[], options: DownloadOptions): Promise<string> {
    const cache = new RepoCache(this.#cacheDir, listing.repo);
    const missing: RepoFile[] = [];
    for (const file of files) if (!(await cache.isLinked(listing.commit, file))) missing.push(file);
    const progress = new Progress(files, missing, options.onProgress);
    if (this.#offline && missing.length > 0) throw notInCache(listing, missing, cache.folder);
    try {
      await forEach(missing, FILES_AT_ONCE, options.signal, async (file, signal) => {
        await downloadBlob(this.#client, cache, listing, file, (bytes) => progress.set(file, bytes), signal);
        await cache.link(listing.commit, file);
        progress.end(file);
      });
    } catch (error) {
      throw cacheError(error, cache.folder);
    }
    return cache.snapshot(listing.commit);
  }

  /** A file to be read in place, or from the cache if it is there. Errors: offline `not_found`. */
  async byteSource(listing: RepoListing, file: RepoFile): Promise<ByteSource> {
    const cache = new RepoCache(this.#cacheDir, listing.repo);
    const cached = await cache.find(listing.commit, file);
    if (this.#offline && cached === undefined) throw notInCache(listing, [file], cache.folder);
    return byteSource(this.#client, listing, file, cached);
  }
}

async function cachedListing(cache: RepoCache, repo: Repo, why: string): Promise<RepoListing | undefined> {
  const commit = await cache.readRef(repo.revision);
  if (commit === undefined) return undefined;
  const files = (await cache.readTree(commit)) ?? (await cache.linkedFiles(commit));
  return files.length === 0 ? undefined : { repo, commit, files, fromCache: why };
}

function notInCache({ repo }: RepoListing, missing: readonly RepoFile[], folder: string): GradpoolError {
  const named = missing.slice(0, 3).map(({ path }) => path);
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
  const what = `${repoLabel(repo)} lacks ${named.join(", ")}${more} in the cache ${folder}`;
  return new GradpoolError("not_found", `${what}; unset HF_HUB_OFFLINE to download`);
}

class Progress {
  readonly #progress: DownloadProgress;
  readonly #bytes = new Map<RepoFile, number>();
  readonly #tell: (progress: DownloadProgress) => void;

  constructor(
    files: readonly RepoFile[],
    missing: readonly RepoFile[],
    tell: (progress: DownloadProgress) => void = () => {},
  ) {
    const sum = (some: readonly RepoFile[]) => some.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0);
    this.#progress = {
      doneBytes: sum(files) - sum(missing),
      totalBytes: sum(files),
      doneFiles: files.length - missing.length,
      totalFiles: files.length,
    };
    this.#tell = tell;
    tell({ ...this.#progress });
  }

  set(file: RepoFile, bytes: number): void {
    this.#progress.doneBytes += bytes - (this.#bytes.get(file) ?? 0);
    this.#bytes.set(file, bytes);
    this.#tell({ ...this.#progress });
  }

  end(file: RepoFile): void {
    this.#progress.doneFiles++;
    this.set(file, file.sizeBytes);
  }
}

/** Runs a task for each item, `limit` at a time; the first failure ends the others, and is thrown when they ended. */
async function forEach<T>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  task: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined && !controller.signal.aborted; item = queue.shift()) {
      try {
        await task(item, controller.signal);
      } catch (error) {
        controller.abort(error);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: limit }, worker));
  } finally {
    signal.removeEventListener("abort", abort);
  }
  controller.signal.throwIfAborted();
}
