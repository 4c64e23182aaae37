/** Folders that are made once and then only read, by any number of processes at the same time. */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError, tooManyOpenFiles } from "@gradpool/errors";

/** A folder that a killed process left half made is removed by the next one after this time. */
const ABANDONED_AFTER_MS = 24 * 60 * 60 * 1000;

/**
 * The folder `cacheDir`/`name`, filled by `make` where it does not exist yet. It appears whole or not at
 * all: it is made under another name, flushed to the disk, and renamed; of two processes that make it at
 * once, the second finds the first one's. Errors: those of `make`; `resource_exhausted` for a full disk,
 * `permission_denied` where nothing can be written.
 */
export async function cachedFolder(
  cacheDir: string,
  name: string,
  make: (dir: string) => Promise<void>,
): Promise<string> {
  const target = join(cacheDir, name);
  if (await exists(target)) return target;
  const half = join(cacheDir, `.${name}-${randomUUID()}`);
  try {
    await mkdir(half, { recursive: true });
    try {
      await removeAbandoned(cacheDir, name);
      await make(half);
      await flush(half);
      await rename(half, target).catch(async (error: unknown) => {
        if (!(await exists(target))) throw error;
      });
      await flush(cacheDir);
    } finally {
      await rm(half, { recursive: true, force: true });
    }
  } catch (error) {
    throw asGradpoolError(error, cacheDir);
  }
  return target;
}

/** Flushes a file, or the entries of a folder, to the disk. */
export async function flush(path: string): Promise<void> {
  const file = await open(path);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

async function removeAbandoned(cacheDir: string, name: string): Promise<void> {
  for (const entry of await readdir(cacheDir)) {
    if (!entry.startsWith(`.${name}-`)) continue;
    const path = join(cacheDir, entry);
    const madeAt = (await stat(path).catch(() => undefined))?.mtimeMs ?? Infinity;
    if (Date.now() - madeAt > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true });
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

function asGradpoolError(error: unknown, cacheDir: string): unknown {
  if (error instanceof GradpoolError || !(error instanceof Error) || !("code" in error)) return error;
  const shortage = tooManyOpenFiles(error);
  if (shortage) return shortage;
  const full = ["ENOSPC", "EDQUOT", "EFBIG"].includes(String(error.code));
  const code = full ? "resource_exhausted" : "permission_denied";
  const advice = full ? "free some space there" : "make it writable";
  const message = `the cache folder ${cacheDir} cannot be written (${String(error.code)}); ${advice}, or set GRADPOOL_HOME`;
  return new GradpoolError(code, message, { cause: error });
}
