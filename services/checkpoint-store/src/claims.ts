import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { GradpoolError } from "@gradpool/errors";
import { LOCK_FILE, lockBytes, lockOf, MAX_LOCK_BYTES, parseLock, type Lock } from "@gradpool/run-folder";
import { isAlive } from "@gradpool/service-kit";
import type { Claimant } from "./artifact-store.js";
import { errnoOf, readSmallFile, writeFileSynced, type FileSystem } from "./file-system.js";
import { stageName } from "./names.js";

/**
 * Which run has claimed an output folder: a lock file in it, made with O_EXCL, names run and process. The lock
 * of a dead process is taken over, so a crash leaves nothing to clean up by hand.
 */
export class Claims {
  readonly #fs: FileSystem;
  readonly #owner = randomUUID();
  /** By folder. */
  readonly #held = new Map<string, Claimant>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /**
   * Claims `folder` for a run; the same run may claim it again, also from a restarted store. Returns
   * whether the run had it before. Errors: `failed_precondition` when another active run has it, `aborted` when a newer
   * owner of the run has it.
   */
  async take(folder: string, claimant: Claimant): Promise<{ again: boolean }> {
    const { runId } = claimant;
    let again = false;
    for (;;) {
      const text = await this.#read(folder);
      const lock = text === undefined ? undefined : parseLock(text);
      refuseOlder(folder, lock, claimant);
      if (lock && isHeldBy(lock, claimant, this.#owner)) {
        this.#held.set(folder, claimant);
        return { again: true };
      }
      if (lock && lock.run_id !== runId && isAlive(lock)) throw inUse(folder, lock);
      if (text !== undefined) {
        again ||= lock?.run_id === runId;
        await this.#takeAway(folder, text);
        continue;
      }
      try {
        await writeFileSynced(
          this.#fs,
          `${folder}/${LOCK_FILE}`,
          lockBytes(lockOf(runId, this.#owner, claimant.ownerEpoch)),
        );
      } catch (error) {
        if (errnoOf(error) === "EEXIST") continue;
        await this.#removeUnfinished(folder).catch(() => {});
        throw error;
      }
      // Another store saw the file while it was still empty and removed it: the next round sees whose it is.
      if ((await this.#lock(folder))?.owner !== this.#owner) continue;
      this.#held.set(folder, claimant);
      return { again };
    }
  }

  /** Errors: `aborted` when a newer owner of the run has the folder, `unavailable` when another store has. */
  async checkHeld(folder: string, claimant: Claimant): Promise<void> {
    checkHeld(folder, await this.#lock(folder), claimant, this.#owner);
  }

  /** Errors: `aborted` when a newer owner of the run has the folder. */
  async refuseOlder(folder: string, claimant: Claimant): Promise<void> {
    refuseOlder(folder, await this.#lock(folder), claimant);
  }

  /** Releases `folder` if the run claimed it through this store, and no newer owner of the run has it. */
  async release(folder: string, claimant: Claimant): Promise<void> {
    if (!isSame(this.#held.get(folder), claimant)) return;
    this.#held.delete(folder);
    const lock = await this.#lock(folder);
    if (lock && isHeldBy(lock, claimant, this.#owner)) await this.#fs.unlink(`${folder}/${LOCK_FILE}`);
  }

  get held(): [folder: string, claimant: Claimant][] {
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

export const isSame = (one: Claimant | undefined, other: Claimant): boolean =>
  one?.runId === other.runId && (one.ownerEpoch ?? 0) === (other.ownerEpoch ?? 0);

/** `owner`: the store. */
export const isHeldBy = (lock: Lock, claimant: Claimant, owner: string): boolean =>
  lock.owner === owner && isSame({ runId: lock.run_id, ownerEpoch: lock.owner_epoch }, claimant);

/** Errors: `aborted` when the lock is that of a newer owner of the run. */
export function refuseOlder(folder: string, lock: Lock | undefined, claimant: Claimant): void {
  if (lock?.run_id !== claimant.runId || lock.owner_epoch <= (claimant.ownerEpoch ?? 0)) return;
  throw olderOwner(folder, claimant, lock.owner_epoch);
}

/** Errors: those of refuseOlder, and `unavailable` when the lock is not that of the claimant in the store `owner`. */
export function checkHeld(folder: string, lock: Lock | undefined, claimant: Claimant, owner: string): void {
  refuseOlder(folder, lock, claimant);
  if (!lock || !isHeldBy(lock, claimant, owner)) throw takenOver(folder);
}

/** A retried save finds another place, or says who has the folder. */
export function takenOver(folder: string): GradpoolError {
  return new GradpoolError("unavailable", `another store has taken over output_dir ${folder}; try again`);
}

/** `newest`: epoch of the run's newest owner. */
export function olderOwner(folder: string, { runId, ownerEpoch = 0 }: Claimant, newest: number): GradpoolError {
  const problem = `run ${runId} has changed hands: this is epoch ${ownerEpoch}, and ${folder} has seen ${newest}`;
  return new GradpoolError("aborted", `${problem}; nothing was changed, ask the coordinator that owns the run`);
}

export function inUse(folder: string, { run_id, pid, host }: Lock): GradpoolError {
  const elsewhere = host === hostname() ? "" : ` on ${host}; if that machine is gone, remove ${folder}/${LOCK_FILE}`;
  const message = `output_dir ${folder} is in use by run ${run_id} (process ${pid}${elsewhere})`;
  return new GradpoolError("failed_precondition", `${message}; choose another --output_dir or cancel that run`);
}
