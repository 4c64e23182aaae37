import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { GradpoolError } from "@gradpool/errors";
import { LOCK_FILE, lockBytes, lockOf, MAX_LOCK_BYTES, parseLock, type Lock } from "@gradpool/run-folder";
import { isAlive } from "@gradpool/service-kit";
import { errnoOf, readSmallFile, writeFileSynced, type FileSystem } from "./file-system.js";
import { stageName } from "./names.js";

/**
 * Which run has claimed an output folder: a lock file in it, made with O_EXCL, names run and process. The lock
 * of a dead process is taken over, so a crash leaves nothing to clean up by hand.
 */
export class Claims {
  readonly #fs: FileSystem;
  readonly #owner = randomUUID();
  /** Run by folder. */
  readonly #held = new Map<string, string>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /**
   * Claims `folder` for a run; the same run may claim it again, also from a restarted store. Returns
   * whether the run had it before. Errors: `failed_precondition` when another active run has it.
   */
  async take(folder: string, runId: string): Promise<{ again: boolean }> {
    let again = false;
    for (;;) {
      const text = await this.#read(folder);
      const lock = text === undefined ? undefined : parseLock(text);
      if (lock?.owner === this.#owner && lock.run_id === runId) {
        this.#held.set(folder, runId);
        return { again: true };
      }
      if (lock && lock.run_id !== runId && isAlive(lock)) throw inUse(folder, lock);
      if (text !== undefined) {
        again ||= lock?.run_id === runId;
        await this.#takeAway(folder, text);
        continue;
      }
      try {
        await writeFileSynced(this.#fs, `${folder}/${LOCK_FILE}`, lockBytes(lockOf(runId, this.#owner)));
      } catch (error) {
        if (errnoOf(error) === "EEXIST") continue;
        await this.#removeUnfinished(folder).catch(() => {});
        throw error;
      }
      // Another store saw the file while it was still empty and removed it: the next round sees whose it is.
      if ((await this.#lock(folder))?.owner !== this.#owner) continue;
      this.#held.set(folder, runId);
      return { again };
    }
  }

  /** Releases `folder` if the run claimed it through this store. */
  async release(folder: string, runId: string): Promise<void> {
    if (this.#held.get(folder) !== runId) return;
    this.#held.delete(folder);
    const lock = await this.#lock(folder);
    if (lock?.owner === this.#owner && lock.run_id === runId) await this.#fs.unlink(`${folder}/${LOCK_FILE}`);
  }

  get held(): [folder: string, runId: string][] {
    return [...this.#held];
  }

  /** Removes a lock file that was not written completely because the disk is full, but not another store's. */
  async #removeUnfinished(folder: string): Promise<void> {
    const text = await this.#read(folder);
    const lock = text === undefined ? undefined : parseLock(text);
    if (text !== undefined && (!lock || lock.owner === this.#owner)) await this.#takeAway(folder, text);
  }

  /** Removes the lock file with that text, not one that has since replaced it. */
  async #takeAway(folder: string, text: string): Promise<void> {
    const aside = `${folder}/${stageName("lock", "removing")}`;
    try {
      await this.#fs.rename(`${folder}/${LOCK_FILE}`, aside);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw error;
    }
    if ((await this.#readFile(aside)) === text) await this.#fs.unlink(aside);
    else await this.#fs.rename(aside, `${folder}/${LOCK_FILE}`);
  }

  async #lock(folder: string): Promise<Lock | undefined> {
    const text = await this.#read(folder);
    return text === undefined ? undefined : parseLock(text);
  }

  #read(folder: string): Promise<string | undefined> {
    return this.#readFile(`${folder}/${LOCK_FILE}`);
  }

  async #readFile(path: string): Promise<string | undefined> {
    try {
      return new TextDecoder().decode(await readSmallFile(this.#fs, path, MAX_LOCK_BYTES));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}

export function inUse(folder: string, { run_id, pid, host }: Lock): GradpoolError {
  const elsewhere = host === hostname() ? "" : ` on ${host}; if that machine is gone, remove ${folder}/${LOCK_FILE}`;
  const message = `output_dir ${folder} is in use by run ${run_id} (process ${pid}${elsewhere})`;
  return new GradpoolError("failed_precondition", `${message}; choose another --output_dir or cancel that run`);
}
