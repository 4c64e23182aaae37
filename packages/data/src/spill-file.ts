import { mkdtemp, open, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GradpoolError, tooManyOpenFiles } from "@gradpool/errors";

/** A range of bytes in the file. */
export interface Spilled {
  offset: number;
  sizeBytes: number;
}

/** A temporary file for what does not fit into memory. It has no name while in use: nothing remains, however the process ends. */
export class SpillFile implements AsyncDisposable {
  #handle: FileHandle | undefined;
  #end = 0;

  /** Errors: `resource_exhausted` when it cannot be written; those of tooManyOpenFiles. */
  async write(bytes: Buffer): Promise<Spilled> {
    const offset = this.#end;
    try {
      this.#handle ??= await openUnnamed();
      for (let written = 0; written < bytes.length;) {
        const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, offset + written);
        written += bytesWritten;
      }
    } catch (error) {
      const shortage = tooManyOpenFiles(error, tmpdir());
      if (shortage) throw shortage;
      const reason = error instanceof Error ? error.message : String(error);
      const advice = "free space there, set TMPDIR, or lower shuffle_buffer";
      const message = `the rows of a shuffle block cannot be written to ${tmpdir()} (${reason}); ${advice}`;
      throw new GradpoolError("resource_exhausted", message, { cause: error });
    }
    this.#end += bytes.length;
    return { offset, sizeBytes: bytes.length };
  }

  async read({ offset, sizeBytes }: Spilled): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(sizeBytes);
    for (let filled = 0; filled < sizeBytes;) {
      const read = await this.#handle?.read(bytes, filled, sizeBytes - filled, offset + filled);
      if (!read?.bytesRead) throw new Error("a spilled row is missing");
      filled += read.bytesRead;
    }
    return bytes;
  }

  /** Drops what was written. */
  clear(): void {
    this.#end = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }
}

async function openUnnamed(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-spill-"));
  try {
    return await open(join(folder, "rows"), "wx+", 0o600);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
