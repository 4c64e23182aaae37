import { constants } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rmdir, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/** A file being written. */
export interface NewFile {
  write(bytes: Uint8Array): Promise<void>;
  /** Returns once the bytes are on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** A file being read. */
export interface OpenFile {
  sizeBytes: number;
  /** Fills `buffer` from byte `position` on; returns the bytes read, fewer at the file's end. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

export type EntryKind = "file" | "folder" | "other";

/** The calls that the store makes, so that tests can cut the power between any two of them. */
export interface FileSystem {
  mkdir(path: string): Promise<void>;
  /** Creates a file; EEXIST when there is one (O_EXCL). */
  create(path: string): Promise<NewFile>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  /** Returns once the folder's entries are on disk. */
  syncFolder(path: string): Promise<void>;
  entries(path: string): Promise<string[]>;
  /** What is at `path`, links not followed; undefined: nothing. */
  kind(path: string): Promise<EntryKind | undefined>;
  open(path: string): Promise<OpenFile>;
}

// A checkpoint's file is a plain file: no link is followed, and opening a pipe does not wait for its writer.
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export const nodeFileSystem: FileSystem = {
  mkdir: async (path) => {
    await mkdir(path);
  },
  create: async (path) => {
    const handle = await open(path, "wx");
    return {
      write: async (bytes) => {
        for (let done = 0; done < bytes.byteLength;) {
          done += (await handle.write(bytes, done, bytes.byteLength - done)).bytesWritten;
        }
      },
      sync: () => handle.sync(),
      close: () => handle.close(),
    };
  },
  rename,
  unlink,
  rmdir,
  syncFolder: async (path) => {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  entries: (path) => readdir(path),
  kind: async (path) => {
    try {
      const stats = await lstat(path);
      return stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other";
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  },
  open: async (path) => {
    const handle = await open(path, READ_FLAGS);
    const { size } = await handle.stat();
    return {
      sizeBytes: size,
      read: async (buffer, position) => {
        let done = 0;
        while (done < buffer.byteLength) {
          const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, position + done);
          if (bytesRead === 0) break;
          done += bytesRead;
        }
        return done;
      },
      close: () => handle.close(),
    };
  },
};

/** The errno's name, such as "ENOENT"; undefined for other errors. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Creates a file with these bytes and returns once they are on disk. */
export async function writeFileSynced(fs: FileSystem, path: string, bytes: Uint8Array): Promise<void> {
  const file = await fs.create(path);
  try {
    await file.write(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The bytes of a file of at most `maxBytes`; undefined when it is larger. */
export async function readSmallFile(fs: FileSystem, path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  const file = await fs.open(path);
  try {
    if (file.sizeBytes > maxBytes) return undefined;
    const bytes = new Uint8Array(file.sizeBytes);
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

/** Removes a file, or a folder with all its contents. No error if it is already gone. */
export async function removeTree(fs: FileSystem, path: string): Promise<void> {
  const kind = await fs.kind(path);
  try {
    if (kind !== "folder") return await fs.unlink(path);
    for (const entry of await fs.entries(path)) await removeTree(fs, `${path}/${entry}`);
    await fs.rmdir(path);
  } catch (error) {
    // Another process may be removing it, too.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** Creates a folder and its parents, each on disk before the next. EEXIST or ENOTDIR: a file is in the way. */
export async function ensureFolder(fs: FileSystem, path: string): Promise<void> {
  try {
    await fs.mkdir(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" && dirname(path) !== path) {
      await ensureFolder(fs, dirname(path));
      return ensureFolder(fs, path);
    }
    // Links to folders are allowed, so the check lists the folder's entries.
    if (errno === "EEXIST") return void (await fs.entries(path));
    throw error;
  }
  await fs.syncFolder(dirname(path));
}
