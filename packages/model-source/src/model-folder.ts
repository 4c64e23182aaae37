/**
 * The files of a model folder. Folders are untrusted: only regular files are opened, never more is
 * read than allowed, and no link leads out of the folder, which ONNX Runtime would refuse as well.
 */
import { constants } from "node:fs";
import { access, open, realpath, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative } from "node:path";
import { GradpoolError, parsePythonJson, tooManyOpenFiles } from "@gradpool/errors";

export const CONFIG_FILE = "config.json";
const WHAT_IT_HOLDS = `${CONFIG_FILE}, weights (model.safetensors or pytorch_model.bin) and a tokenizer`;

/** What has become a pipe since it was looked at is not waited for. */
const REGULAR = constants.O_RDONLY | constants.O_NONBLOCK;

/** An open file of known size. */
export interface ModelFile {
  /** For messages: the path as the user would write it. */
  path: string;
  /** Path in the weights folder, free of links. */
  location: string;
  sizeBytes: number;
  /** The bytes from `offset`, fewer at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

export class ModelFolder {
  private constructor(
    /** As the user named it. */
    readonly modelId: string,
    /** Absolute. */
    readonly dir: string,
    /** Absolute folder, free of links, that all weights are in. */
    readonly weightsDir: string,
  ) {}

  /** Errors: `not_found`, `permission_denied`. */
  static async open(modelId: string, dir: string): Promise<ModelFolder> {
    const found = await stat(dir).catch(() => undefined);
    if (!found?.isDirectory()) {
      const problem = found ? "is a file" : "does not exist";
      const message = `model_id: ${modelId} ${problem}; give a folder with ${WHAT_IT_HOLDS}, or a .gguf file`;
      throw new GradpoolError("not_found", message);
    }
    await access(dir, constants.R_OK | constants.X_OK).catch((error: unknown) => {
      throw unreadable(modelId, error);
    });
    return new ModelFolder(modelId, dir, await weightsFolder(dir));
  }

  async has(name: string): Promise<boolean> {
    const found = await stat(join(this.dir, name)).catch(() => undefined);
    return found !== undefined;
  }

  /** A small file as a whole. Errors: as for `withFile`; `data_loss` for more than `maxBytes`. */
  async readWhole(name: string, maxBytes: number): Promise<Uint8Array> {
    return this.withFile(name, ({ path, sizeBytes, read }) => {
      if (sizeBytes <= maxBytes) return read(0, sizeBytes);
      const message = `model_id: ${path} has ${sizeBytes} bytes, where ${maxBytes} are allowed; download the model again`;
      throw new GradpoolError("data_loss", message);
    });
  }

  /** A small file's JSON. Errors: as for `readWhole`; `data_loss` for what is not JSON. */
  async readJson(name: string, maxBytes: number): Promise<{ value: unknown; bytes: Uint8Array }> {
    const bytes = await this.readWhole(name, maxBytes);
    try {
      return { value: parsePythonJson(Buffer.from(bytes).toString("utf8")), bytes };
    } catch (cause) {
      const message = `model_id: ${join(this.modelId, name)} is not valid JSON; download the model again`;
      throw new GradpoolError("data_loss", message, { cause });
    }
  }

  /**
   * Opens a file while `use` runs. Errors: `not_found` for a missing one, `permission_denied` for what is
   * not a regular file, cannot be read, or is outside the folder.
   */
  async withFile<T>(name: string, use: (file: ModelFile) => Promise<T> | T): Promise<T> {
    const path = join(this.modelId, name);
    const real = await realpath(join(this.dir, name)).catch((error: unknown) => {
      throw this.#missing(name, error);
    });
    const location = relative(this.weightsDir, real);
    if (isAbsolute(location) || location.startsWith("..")) {
      const message = `model_id: ${path} is a link out of its folder; put the file itself there`;
      throw new GradpoolError("permission_denied", message);
    }
    const found = await stat(real);
    if (!found.isFile())
      throw new GradpoolError("permission_denied", `model_id: ${path} is not a regular file; download the model again`);
    const file = await open(real, REGULAR).catch((error: unknown) => {
      throw this.#missing(name, error);
    });
    try {
      return await use({ path, location, sizeBytes: found.size, read: (from, length) => readAt(file, from, length) });
    } finally {
      await file.close();
    }
  }

  #missing(name: string, cause: unknown): GradpoolError {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ENOENT")) {
      return unreadable(join(this.modelId, name), cause);
    }
    const message = `model_id: ${this.modelId} has no ${name}; a model folder has ${WHAT_IT_HOLDS}`;
    return new GradpoolError("not_found", message, { cause });
  }
}

/**
 * The folder itself; for a snapshot in the Hugging Face cache, whose files are links to ../../blobs,
 * the repository's folder above.
 */
async function weightsFolder(dir: string): Promise<string> {
  const real = await realpath(dir);
  const snapshots = dirname(real);
  if (basename(snapshots) !== "snapshots") return real;
  const blobs = await stat(join(dirname(snapshots), "blobs")).catch(() => undefined);
  return blobs?.isDirectory() ? dirname(snapshots) : real;
}

export async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** `permission_denied`, and `unavailable` while this process has too many open files. */
export function unreadable(path: string, cause: unknown): GradpoolError {
  const shortage = tooManyOpenFiles(cause, path);
  if (shortage) return shortage;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `model_id: ${path} cannot be read (${reason}); check its permissions`;
  return new GradpoolError("permission_denied", message, { cause });
}

/** A regular file as a whole. Errors: plain ones, as of `open`, and for what is not a regular file or too large. */
export async function readRegularFile(path: string, maxBytes: number): Promise<Uint8Array> {
  await using file = await open(path, REGULAR);
  const found = await file.stat();
  if (!found.isFile()) throw new Error("it is not a regular file");
  if (found.size > maxBytes) throw new Error(`it has ${found.size} bytes, where ${maxBytes} are allowed`);
  return await readAt(file, 0, found.size);
}
