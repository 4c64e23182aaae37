import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, realpath, rename, rm, rmdir, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";

/**
 * A folder that appears with all its files or not at all: they are written beside it, synced, and
 * moved into place by one rename, which works only while nothing is there.
 */
export class ExportFolder implements AsyncDisposable {
  readonly files: string[] = [];
  sizeBytes = 0;
  readonly #to: string;
  readonly #stage: string;
  /** Folders above it that were made for it, the deepest first. */
  readonly #made: string[];
  #current: FileHandle | undefined;
  #published = false;

  private constructor(to: string, stage: string, made: string[]) {
    this.#to = to;
    this.#stage = stage;
    this.#made = made;
  }

  /** Errors: `failed_precondition` when `to` is not a folder or is not empty; `permission_denied`. */
  static async create(to: string): Promise<ExportFolder> {
    const made: string[] = [];
    return explained(to, async () => {
      const path = await placeOf(to);
      try {
        await makeParents(dirname(path), made);
        const stage = join(dirname(path), `.${basename(path)}.exporting-${randomBytes(8).toString("hex")}`);
        await mkdir(stage);
        return new ExportFolder(path, stage, made);
      } catch (error) {
        await removeEmpty(made);
        throw error;
      }
    });
  }

  /** The next bytes of a file; each file's come together. Errors: `data_loss` for a name that leads outside the folder. */
  async write(name: string, data: Uint8Array): Promise<void> {
    if (name === "" || name.startsWith(".") || /[/\\\p{Cc}]/u.test(name)) {
      throw new GradpoolError("data_loss", `the checkpoint holds a file named ${JSON.stringify(name)}; do not use it`);
    }
    if (this.files.slice(0, -1).includes(name)) throw new Error(`file ${name} was sent twice`);
    await explained(this.#to, async () => {
      if (this.files.at(-1) !== name) {
        await this.#finishFile();
        this.#current = await open(join(this.#stage, name), "wx");
        this.files.push(name);
      }
      await this.#current?.appendFile(data);
    });
    this.sizeBytes += data.byteLength;
  }

  /** Makes the folder appear; returns its full path. Errors: `failed_precondition` when it is no longer empty. */
  async publish(): Promise<string> {
    await explained(this.#to, async () => {
      await this.#finishFile();
      await syncFolder(this.#stage);
      await rename(this.#stage, this.#to);
      this.#published = true;
      await syncFolder(dirname(this.#to));
    });
    return this.#to;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current?.close();
    if (this.#published) return;
    await rm(this.#stage, { recursive: true, force: true });
    await removeEmpty(this.#made);
  }

  async #finishFile(): Promise<void> {
    const file = this.#current;
    this.#current = undefined;
    try {
      await file?.sync();
    } finally {
      await file?.close();
    }
  }
}

/** The full path, links resolved, of a folder that is empty or does not exist. */
async function placeOf(to: string): Promise<string> {
  try {
    const path = await realpath(to);
    if ((await readdir(path)).length > 0) throw inUse(to);
    return path;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return resolve(to);
    throw error;
  }
}

async function makeParents(path: string, made: string[]): Promise<void> {
  try {
    await mkdir(path);
    made.unshift(path);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    await makeParents(dirname(path), made);
    await makeParents(path, made);
  }
}

/** Folders that are no longer empty stay. */
async function removeEmpty(folders: readonly string[]): Promise<void> {
  for (const folder of folders) await rmdir(folder).catch(() => {});
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const inUse = (to: string) =>
  new GradpoolError("failed_precondition", `--to ${to} is not empty; choose a folder that does not exist yet`);

const REASONS: Record<string, [ErrorCode, string]> = {
  EACCES: ["permission_denied", "cannot be written; change its permissions or choose another folder"],
  EPERM: ["permission_denied", "cannot be written; change its permissions or choose another folder"],
  EROFS: ["permission_denied", "is on a read-only file system; choose another folder"],
  ENOSPC: ["resource_exhausted", "has no space left; free some space or choose another folder"],
  EDQUOT: ["resource_exhausted", "has no space left; free some space or choose another folder"],
  ENOTDIR: ["failed_precondition", "is not a folder; choose another one"],
  EBUSY: ["failed_precondition", "cannot be replaced: it is in use or a mount point; choose a new folder inside it"],
  EXDEV: ["failed_precondition", "cannot be replaced: it is in use or a mount point; choose a new folder inside it"],
  ENAMETOOLONG: ["invalid_argument", "is too long a name; choose a shorter one"],
};

async function explained<T>(to: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const errno = errnoOf(error) ?? "";
    if (errno === "ENOTEMPTY" || errno === "EEXIST") throw inUse(to);
    const reason = REASONS[errno];
    if (!reason) throw error;
    throw new GradpoolError(reason[0], `--to ${to} ${reason[1]}`, { cause: error });
  }
}

function errnoOf(error: unknown): string | undefined {
  if (error instanceof GradpoolError || !(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
