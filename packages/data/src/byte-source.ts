import { constants } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { GradpoolError, tooManyOpenFiles } from "@gradpool/errors";
import { READ_BYTES } from "./limits.js";

/** The bytes of one file, wherever it is. Readers see nothing else of a file. */
export interface ByteSource {
  /** As the user knows it, for messages; its extension decides the format ("rows.jsonl.gz"). */
  readonly name: string;
  /** Undefined when it cannot be known before reading. */
  readonly sizeBytes: number | undefined;
  /** Differs whenever the content does; part of the data set's hash. */
  readonly version: string;
  /**
   * The bytes from `start` up to, not including, `end` (or the file's end), piece by piece; the caller owns
   * each piece. Each call reads from scratch, and several may run at a time. Errors: `failed_precondition` when the
   * content is no longer of this version, and the source's own.
   */
  read(range: ByteRange): AsyncIterable<Uint8Array>;
}

export interface ByteRange {
  start: number;
  end?: number;
  signal: AbortSignal;
}

/**
 * Gives the files that a source names, in order, or undefined when the source is not of its kind. A data set
 * asks it before it looks for local files.
 */
export type SourceResolver = (source: string, signal: AbortSignal) => Promise<ByteSource[] | undefined>;

/** A file of this machine; undefined when `path` is not a regular file. */
export type OpenLocal = (path: string) => Promise<ByteSource | undefined>;

/**
 * A local file as it was when it was found; undefined when `path` is not a regular file. Errors: `permission_denied`, and
 * `unavailable` while this process has too many open files.
 */
export async function localFile(path: string): Promise<ByteSource | undefined> {
  const stats = await stat(path, { bigint: true }).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  return stats.isFile() ? new LocalFile(path, Number(stats.size), stats.mtimeNs) : undefined;
}

/** What has become a pipe since is not waited for. */
const REGULAR = constants.O_RDONLY | constants.O_NONBLOCK;

class LocalFile implements ByteSource {
  readonly name: string;
  readonly sizeBytes: number;
  readonly version: string;
  readonly #mtimeNs: bigint;

  constructor(path: string, sizeBytes: number, mtimeNs: bigint) {
    this.name = path;
    this.sizeBytes = sizeBytes;
    this.version = mtimeNs.toString();
    this.#mtimeNs = mtimeNs;
  }

  async *read({ start, end = this.sizeBytes, signal }: ByteRange): AsyncGenerator<Uint8Array> {
    const handle = await open(this.name, REGULAR).catch((error: unknown) => {
      throw isMissing(error) ? this.#changed() : unreadable(this.name, error);
    });
    try {
      await this.#checkUnchanged(handle);
      for (let offset = start; offset < end;) {
        signal.throwIfAborted();
        const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - offset));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
        // Checked after the read: what is passed on was read from the unchanged file.
        await this.#checkUnchanged(handle);
        if (bytesRead === 0) return;
        offset += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  }

  async #checkUnchanged(handle: FileHandle): Promise<void> {
    const found = await handle.stat({ bigint: true });
    const { size, mtimeNs } = found;
    if (!found.isFile() || Number(size) !== this.sizeBytes || mtimeNs !== this.#mtimeNs) throw this.#changed();
  }

  #changed(): GradpoolError {
    const advice = "restore it, or start a new run";
    return new GradpoolError("failed_precondition", `${this.name} changed while the data set was in use; ${advice}`);
  }
}

/** Whether a failed file operation means that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

export function unreadable(path: string, error: unknown): GradpoolError {
  const shortage = tooManyOpenFiles(error, path);
  if (shortage) return shortage;
  const reason = error instanceof Error ? error.message : String(error);
  return new GradpoolError("permission_denied", `cannot read ${path}: ${reason}`, { cause: error });
}
