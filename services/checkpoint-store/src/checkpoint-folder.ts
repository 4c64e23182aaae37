import { createHash } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import { CHUNK_BYTES } from "@gradpool/rpc";
import {
  MANIFEST_FILE,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Manifest,
  type ManifestFile,
} from "@gradpool/run-folder";
import { errnoOf, readSmallFile, type FileSystem, type OpenFile } from "./file-system.js";

/** The manifest of a checkpoint's folder, or what is wrong with the checkpoint. */
export async function readManifest(fs: FileSystem, folder: string): Promise<Manifest | string> {
  const path = `${folder}/${MANIFEST_FILE}`;
  try {
    const kind = await fs.kind(path);
    if (kind !== "file")
      return kind === undefined ? `${MANIFEST_FILE} is missing` : `${MANIFEST_FILE} is not a plain file`;
    const bytes = await readSmallFile(fs, path, MAX_MANIFEST_BYTES);
    return bytes ? parseManifest(bytes) : `${MANIFEST_FILE} is too large`;
  } catch (error) {
    return unreadable(MANIFEST_FILE, error);
  }
}

/** What a failure to read a file says about its checkpoint. Rethrows when it says nothing. */
function unreadable(name: string, error: unknown): string {
  const errno = errnoOf(error);
  switch (errno) {
    // It was removed, or became a link, between two checks.
    case "ENOENT":
    case "ELOOP":
    case "ENOTDIR":
      return `file ${name} is missing`;
    case "EIO":
    case "ESTALE":
    case "EACCES":
    case "EPERM":
      return `file ${name} cannot be read (${errno})`;
    default:
      throw error;
  }
}

/** What is wrong with the files' sizes; empty: nothing. */
export async function shallowDamage(fs: FileSystem, folder: string, files: readonly ManifestFile[]): Promise<string> {
  for (const file of files) {
    const opened = await openListed(fs, folder, file);
    if (typeof opened === "string") return opened;
    await opened.close();
  }
  return "";
}

/** What is wrong with the files' content; empty: nothing. Stops when `signal` aborts. */
export async function deepDamage(
  open: (file: ManifestFile) => Promise<OpenFile | string>,
  files: readonly ManifestFile[],
  signal: AbortSignal,
): Promise<string> {
  for (const file of files) {
    const opened = await open(file);
    if (typeof opened === "string") return opened;
    try {
      for await (const piece of verifiedPieces(opened, file)) {
        signal.throwIfAborted();
        if (typeof piece === "string") return piece;
      }
    } finally {
      await opened.close();
    }
  }
  return "";
}

/** Opens a file of the manifest, or says what is wrong with it. */
export async function openListed(fs: FileSystem, folder: string, file: ManifestFile): Promise<OpenFile | string> {
  const path = `${folder}/${file.path}`;
  // Checked before opening: links and pipes count as damage.
  if ((await fs.kind(path)) !== "file") return `file ${file.path} is missing`;
  let opened: OpenFile;
  try {
    opened = await fs.open(path);
  } catch (error) {
    return unreadable(file.path, error);
  }
  if (opened.sizeBytes === file.sizeBytes) return opened;
  await opened.close();
  return `file ${file.path} has ${opened.sizeBytes} bytes instead of ${file.sizeBytes}`;
}

/**
 * A file in pieces of at most CHUNK_BYTES, at least one. The last piece comes only when the whole
 * file has its SHA-256; otherwise what is wrong comes last.
 */
export async function* verifiedPieces(opened: OpenFile, file: ManifestFile): AsyncGenerator<Uint8Array | string> {
  const hash = createHash("sha256");
  let position = 0;
  do {
    // A fresh buffer for each piece: the previous one may still be on its way to the client.
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, file.sizeBytes - position));
    let bytes: number;
    try {
      bytes = await opened.read(buffer, position);
    } catch (error) {
      return yield unreadable(file.path, error);
    }
    if (bytes < buffer.byteLength) return yield `file ${file.path} ends early`;
    hash.update(buffer);
    position += bytes;
    if (position === file.sizeBytes && hash.digest("hex") !== file.sha256) {
      return yield `file ${file.path} does not match its SHA-256`;
    }
    yield buffer;
  } while (position < file.sizeBytes);
}

export function damagedError(folder: string, damage: string): GradpoolError {
  const advice = "load an older checkpoint, or copy this one again";
  return new GradpoolError("data_loss", `checkpoint ${folder} is damaged: ${damage}; ${advice}`);
}
