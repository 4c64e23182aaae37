/**
 * Where a pool's key is kept: a file that its user alone can read, where all programs of this user on this machine
 * find it by the pool's port.
 */
import { randomUUID } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { chmod, link, mkdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { PoolKey } from "./pool-key.js";

const MAX_FILE_BYTES = 1024;

/** The key file of the pool whose coordinator listens on `port` of this machine. */
export const localKeyFile = (home: string, port: string): string => join(home, "pools", port, "key");

/** Errors: `failed_precondition` when it cannot be read or is not a regular file; `invalid_argument` for what is not a key. */
export function readKeyFile(path: string): PoolKey {
  const key = keyIn(path);
  if (key) return key;
  throw new GradpoolError(
    "failed_precondition",
    `the key file ${path} does not exist; name another, or copy the pool's`,
  );
}

/** The same of a file that only this user may be able to read; undefined where there is none. */
export function readOwnKeyFile(path: string): PoolKey | undefined {
  return keyIn(path, (mode, uid) => {
    if ((mode & 0o077) !== 0) return `others can read it; make a new one: remove it, and start the pool again`;
    const own = process.getuid?.();
    return own === undefined || own === 0 || uid === own ? "" : "it belongs to another user; remove it";
  });
}

/**
 * The key in the file, which is made with a random key where there is none; `given` takes its place. Its folder is for
 * this user alone.
 */
export async function keepKey(path: string, given?: PoolKey): Promise<PoolKey> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  const found = readOwnKeyFile(path);
  if (found && (!given || found.matches(given.reveal()))) return found;
  const key = given ?? PoolKey.random();
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, `${key.reveal()}\n`, { mode: 0o600, flag: "wx" });
  try {
    if (given) {
      await rename(temporary, path);
      return given;
    }
    // Unlike a rename, this never replaces the key of a pool that started at the same moment.
    await link(temporary, path);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return readKeyFile(path);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Removes a key file, and its folder where nothing else is in it. */
export async function forgetKey(path: string): Promise<void> {
  await rm(path, { force: true });
  await rmdir(dirname(path)).catch(() => {});
}

/** `problemOf` says why a file of that mode and owner is not to be trusted; empty: it is. */
function keyIn(path: string, problemOf: (mode: number, uid: number) => string = () => ""): PoolKey | undefined {
  let file: number;
  try {
    // Without waiting, should it be a pipe.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new GradpoolError("failed_precondition", `the key file ${path} cannot be read (${code})`, { cause });
  }
  try {
    const stats = fstatSync(file);
    const problem = stats.isFile() ? problemOf(stats.mode, stats.uid) : "it is not a regular file; name one";
    if (problem) throw new GradpoolError("failed_precondition", `the key file ${path} cannot be used: ${problem}`);
    const buffer = Buffer.alloc(MAX_FILE_BYTES);
    const size = readSync(file, buffer, 0, MAX_FILE_BYTES, 0);
    return new PoolKey(buffer.toString("latin1", 0, size).trim(), `the key file ${path}`);
  } finally {
    closeSync(file);
  }
}
