/**
 * One repository's folder in the cache that Python's huggingface_hub keeps: blobs named by their hash, snapshots of
 * links to them, refs from branch and tag to commit, trees with each commit's listing.
 */
import { randomUUID } from "node:crypto";
import { copyFile, mkdir, open, readdir, readFile, readlink, rename, stat, symlink, unlink } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { z } from "zod";
import { COMMIT, etagOf, isSafePath, SHA256, type RepoFile } from "./repo-files.js";
import type { Repo } from "./repo-name.js";

/** Version of the trees that Python's client writes and reads. */
const TREE_FORMAT = 1;

const treeFile = z.object({
  format_version: z.literal(TREE_FORMAT),
  files: z.record(
    z.string().refine(isSafePath),
    z.object({
      size: z.int().nonnegative(),
      blob_id: z.string().regex(COMMIT),
      lfs_sha256: z.string().regex(SHA256).optional(),
      lfs_size: z.int().nonnegative().nullish(),
      xet_hash: z.string().regex(SHA256).optional(),
    }),
  ),
});

export class RepoCache {
  readonly folder: string;
  readonly blobs: string;

  constructor(cacheDir: string, { type, id }: Repo) {
    this.folder = join(cacheDir, `${type}s--${id.replace("/", "--")}`);
    this.blobs = join(this.folder, "blobs");
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  blob(file: RepoFile): string {
    return join(this.blobs, etagOf(file));
  }

  /** Whether the content is here, whole. Blobs get their name only when their hash has been checked. */
  async hasBlob(file: RepoFile): Promise<boolean> {
    return (await sizeOf(this.blob(file))) === file.sizeBytes;
  }

  /** Where the snapshot has the file, or the cache its content. */
  async find(commit: string, file: RepoFile): Promise<string | undefined> {
    const linked = join(this.snapshot(commit), file.path);
    if ((await sizeOf(linked)) === file.sizeBytes) return linked;
    return (await this.hasBlob(file)) ? this.blob(file) : undefined;
  }

  /** Whether the snapshot has the file, whole. */
  async isLinked(commit: string, file: RepoFile): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(commit), file.path))) === file.sizeBytes;
  }

  /** Puts a file whose blob is here into the snapshot. */
  async link(commit: string, file: RepoFile): Promise<void> {
    const path = join(this.snapshot(commit), file.path);
    await mkdir(dirname(path), { recursive: true });
    const temporary = temporaryName(path);
    try {
      await symlink(relative(dirname(path), this.blob(file)), temporary);
    } catch (error) {
      // Not every file system, nor every account on Windows, may link.
      if (!isCode(error, "EPERM", "ENOTSUP", "ENOSYS")) throw error;
      await copyFile(this.blob(file), temporary);
    }
    await rename(temporary, path);
  }

  /** The commit of a branch or tag when it was last asked for. */
  async readRef(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => "");
    return COMMIT.test(text.trim()) ? text.trim() : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.readRef(revision)) === commit) return;
    await writeWhole(join(this.folder, "refs", revision), commit);
  }

  /** A commit's files as the hub listed them once; undefined where it was not noted. */
  async readTree(commit: string): Promise<RepoFile[] | undefined> {
    try {
      const { files } = treeFile.parse(JSON.parse(await readFile(this.#treePath(commit), "utf8")));
      return Object.entries(files).map(([path, entry]) => ({
        path,
        sizeBytes: entry.lfs_size ?? entry.size,
        blobId: entry.blob_id,
        ...(entry.lfs_sha256 ? { lfsSha256: entry.lfs_sha256 } : {}),
        ...(entry.xet_hash ? { xetHash: entry.xet_hash } : {}),
      }));
    } catch {
      // Missing, damaged or of another version: the hub is asked again.
      return undefined;
    }
  }

  async writeTree(commit: string, files: readonly RepoFile[]): Promise<void> {
    const sorted = [...files].sort((one, other) => (one.path < other.path ? -1 : 1));
    const entries = sorted.map(({ path, sizeBytes: size, blobId, lfsSha256, xetHash }) => {
      const lfs = lfsSha256 ? { lfs_sha256: lfsSha256, lfs_size: size } : {};
      return [path, { size, blob_id: blobId, ...lfs, ...(xetHash ? { xet_hash: xetHash } : {}) }] as const;
    });
    const tree = { format_version: TREE_FORMAT, files: Object.fromEntries(entries) };
    await writeWhole(this.#treePath(commit), JSON.stringify(tree, undefined, 1));
  }

  /** The files that a snapshot holds, as far as their links say what they are. */
  async linkedFiles(commit: string): Promise<RepoFile[]> {
    const folder = this.snapshot(commit);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const files = await Promise.all(
      entries
        .filter((entry) => !entry.isDirectory())
        .map(async (entry): Promise<RepoFile[]> => {
          const path = join(entry.parentPath, entry.name);
          const sizeBytes = await sizeOf(path);
          if (sizeBytes === undefined) return [];
          const etag = basename(await readlink(path).catch(() => ""));
          const lfs = SHA256.test(etag) ? { lfsSha256: etag } : {};
          return [{ path: relative(folder, path).replaceAll("\\", "/"), sizeBytes, blobId: etag, ...lfs }];
        }),
    );
    return files.flat();
  }

  #treePath(commit: string): string {
    return join(this.folder, "trees", `${commit}.json`);
  }
}

export async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

const temporaryName = (path: string) => `${path}.${randomUUID()}.tmp`;

/** Readers see the old content or the new one, never a part. */
async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = temporaryName(path);
  try {
    const handle = await open(temporary, "wx");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

/** A failed file operation in the cache, as what to do about it. */
export function cacheError(error: unknown, folder: string): unknown {
  if (isCode(error, "ENOSPC", "EDQUOT")) {
    const message = `no space left in ${folder}; free some, or set HF_HUB_CACHE to another folder`;
    return new GradpoolError("resource_exhausted", message, { cause: error });
  }
  if (isCode(error, "EACCES", "EPERM", "EROFS")) {
    const message = `${folder} cannot be written; change its permissions, or set HF_HUB_CACHE to another folder`;
    return new GradpoolError("permission_denied", message, { cause: error });
  }
  if (isCode(error, "EEXIST", "ENOTDIR")) {
    const message = `${folder} is not a cache folder; move it away, or set HF_HUB_CACHE to another folder`;
    return new GradpoolError("failed_precondition", message, { cause: error });
  }
  return error;
}
