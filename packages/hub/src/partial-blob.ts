/**
 * The unfinished file of a download, and who may write it. Its name says which process does, so that the file is
 * its own lock: a process that dies leaves a name that shows it, and another takes the file over by renaming it,
 * which only one of several can. It keeps:
 *  - a partial file has at most one writer;
 *  - what has been written is never thrown away because its writer died;
 *  - a writer that hangs costs others a second download, never a wrong file: blobs are named by a checked hash.
 */
import { createHash } from "node:crypto";
import { readlinkSync } from "node:fs";
import { mkdir, open, readdir, rename, stat, unlink, utimes, type FileHandle } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { identityOf, isAlive } from "@gradpool/service-kit";
import { HEARTBEAT_MS, STALE_MS, WATCH_MS } from "./limits.js";
import { isCode, type RepoCache } from "./repo-cache.js";
import { etagOf, type RepoFile } from "./repo-files.js";

/** Partial files that this process writes just now. */
const written = new Set<string>();
let claims = 0;

/** Where this process's number means something: containers may share a host's name, and not its processes. */
const HOST = createHash("sha256").update(`${hostname()} ${processNamespace()}`).digest("hex").slice(0, 8);

interface Found {
  path: string;
  sizeBytes: number;
  /** "left": it has no writer any more. "stale": it may have one, inactive for long. */
  state: "written" | "left" | "stale";
}

export class PartialBlob {
  readonly path: string;
  readonly handle: FileHandle;
  readonly #cache: RepoCache;
  readonly #file: RepoFile;
  readonly #heartbeat: NodeJS.Timeout;

  private constructor(cache: RepoCache, file: RepoFile, path: string, handle: FileHandle) {
    this.#cache = cache;
    this.#file = file;
    this.path = path;
    this.handle = handle;
    // Shows others that this download is alive, however long it waits for the hub.
    this.#heartbeat = setInterval(() => void setTime(path).catch(() => {}), HEARTBEAT_MS).unref();
  }

  /**
   * Begins a file's download, or resumes one that was left; waits while another process makes it, calling
   * `onWait` with its progress. Undefined when the blob is there.
   */
  static async claim(
    cache: RepoCache,
    file: RepoFile,
    onWait: (sizeBytes: number) => void,
    signal: AbortSignal,
  ): Promise<PartialBlob | undefined> {
    await mkdir(cache.blobs, { recursive: true });
    for (;;) {
      signal.throwIfAborted();
      if (await cache.hasBlob(file)) return undefined;
      const found = await partialsOf(cache, file);
      const other = found.find(({ state }) => state === "written");
      if (other) {
        onWait(Math.min(other.sizeBytes, file.sizeBytes));
        await sleep(WATCH_MS, undefined, { signal });
        continue;
      }
      const path = await take(cache, file, found);
      if (path === undefined) continue;
      // A writer that sees another one beside its own steps back: of two that come at once, at least one does.
      const rivals = (await partialsOf(cache, file)).filter((one) => one.path !== path && one.state === "written");
      // One that was about to finish when it was looked for is no longer a rival: then the blob is there.
      if (await cache.hasBlob(file)) {
        written.delete(path);
        await unlink(path);
        return undefined;
      }
      if (rivals.length === 0) return new PartialBlob(cache, file, path, await open(path, "r+"));
      await leave(cache, file, path);
      await sleep(Math.random() * WATCH_MS, undefined, { signal });
    }
  }

  /** Makes the partial file the blob. Its content has been checked. */
  async finish(): Promise<void> {
    await this.handle.sync();
    const { size } = await this.handle.stat();
    if (size !== this.#file.sizeBytes) throw new Error(`${this.path} has another writer`);
    await this.handle.close();
    clearInterval(this.#heartbeat);
    await rename(this.path, this.#cache.blob(this.#file));
    written.delete(this.path);
    await syncFolder(this.#cache.blobs);
    for (const { path, state } of await partialsOf(this.#cache, this.#file)) {
      if (state === "left") await unlink(path).catch(() => {});
    }
  }

  /** Leaves what came so far to the next writer. Without effect once finished. */
  async release(): Promise<void> {
    if (!written.has(this.path)) return;
    clearInterval(this.#heartbeat);
    await this.handle.close();
    await leave(this.#cache, this.#file, this.path);
  }
}

function setTime(path: string): Promise<void> {
  const now = new Date();
  return utimes(path, now, now);
}

const nameOf = (file: RepoFile, owner: string) => `${etagOf(file)}.${owner}-${HOST}.incomplete`;

/** A partial file of this process: the largest that was left, or a new one. Undefined when another came first. */
async function take(cache: RepoCache, file: RepoFile, found: readonly Found[]): Promise<string | undefined> {
  const { pid, start_ticks: startTicks = "0" } = identityOf();
  const path = join(cache.blobs, nameOf(file, `${pid}-${startTicks}-${claims++}`));
  const [largest] = found.filter(({ state }) => state === "left").sort((one, other) => other.sizeBytes - one.sizeBytes);
  // Before the name exists: others, also in this process, must know that it is in use.
  written.add(path);
  try {
    if (largest) {
      await rename(largest.path, path);
      // Its time of change is the dead process's.
      await setTime(path);
    } else {
      await (await open(path, "wx")).close();
    }
    return path;
  } catch (error) {
    written.delete(path);
    if (isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function leave(cache: RepoCache, file: RepoFile, path: string): Promise<void> {
  try {
    const { size } = await stat(path);
    if (size === 0) await unlink(path);
    // There is no process 0.
    else await rename(path, join(cache.blobs, nameOf(file, `0-${process.pid}-${claims++}`)));
  } catch (error) {
    // The cache was cleared meanwhile.
    if (!isCode(error, "ENOENT")) throw error;
  } finally {
    written.delete(path);
  }
}

async function partialsOf(cache: RepoCache, file: RepoFile): Promise<Found[]> {
  const found: Found[] = [];
  for (const name of await readdir(cache.blobs)) {
    if (!name.startsWith(etagOf(file))) continue;
    const owner = /^\.(\d+)-(\d+)-\d+-([0-9a-f]{8})\.incomplete$/.exec(name.slice(etagOf(file).length));
    if (!owner) continue;
    const path = join(cache.blobs, name);
    const stats = await stat(path).catch(() => undefined);
    if (!stats) continue;
    const [, pid = "0", startTicks = "0", host] = owner;
    const state = isAtWork(path, Number(pid), startTicks, host) ? "written" : "left";
    const isStale = state === "written" && Date.now() - stats.mtimeMs > STALE_MS;
    found.push({ path, sizeBytes: stats.size, state: isStale ? "stale" : state });
  }
  return found;
}

function isAtWork(path: string, pid: number, startTicks: string, host: string | undefined): boolean {
  if (pid === 0) return false;
  // Another machine's processes cannot be seen.
  if (host !== HOST) return true;
  if (pid === process.pid && startTicks === (identityOf().start_ticks ?? "0")) return written.has(path);
  return isAlive({ pid, host: hostname(), ...(startTicks === "0" ? {} : { start_ticks: startTicks }) });
}

/** Empty where the system knows no such thing. */
function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** Makes the new name last through a loss of power. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r").catch(() => undefined);
  // Windows opens no folders.
  await handle?.sync().catch(() => {});
  await handle?.close();
}
