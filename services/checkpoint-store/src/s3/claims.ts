import { GradpoolError } from "@gradpool/errors";
import { LOCK_FILE, lockBytes, lockOf, MAX_LOCK_BYTES, parseLock, type Lock } from "@gradpool/run-folder";
import { isAlive } from "@gradpool/service-kit";
import type { Claimant } from "../artifact-store.js";
import { checkHeld, inUse, isHeldBy, isSame, refuseOlder } from "../claims.js";
import type { S3Address } from "./address.js";
import { NOTHING_THERE, type Bucket, type Condition } from "./bucket.js";
import { isConditionFailed, isNoSuchKey, isNotImplemented } from "./errors.js";

/** Attempts while others claim or release the same folder. */
const MAX_TRIES = 20;

interface Held {
  bucket: Bucket;
  claimant: Claimant;
  contested: boolean;
}

/** An ETag that no object has. */
const OTHER_OBJECT = { IfMatch: `"${"0".repeat(32)}"` };

/** A lock of no run. */
const NOBODY = Buffer.from("{}\n");

/** Whether a request failed because its condition did not hold; false also where the store has no such condition. */
async function isHeldBack(request: Promise<void>): Promise<boolean> {
  try {
    await request;
    return false;
  } catch (error) {
    if (isConditionFailed(error)) return true;
    if (isNotImplemented(error)) return false;
    throw error;
  }
}

/** A store's claim of a folder. */
export interface Claim {
  /** The run had it before. */
  again: boolean;
  /** This store did not have it. */
  fresh: boolean;
}

/**
 * Which run has claimed an output folder: a lock object in it names run and process. It is only made where there is
 * none (If-None-Match), and only replaced or removed as it was read (If-Match), so that of two stores one gets it.
 */
export class S3Claims {
  readonly #owner: string;
  /** By the folder's URL. */
  readonly #held = new Map<string, Held>();
  /** Buckets that were tried, with whether they honour conditions when an object is deleted. */
  readonly #tried = new Map<string, boolean>();

  /** `owner`: this store, in locks. */
  constructor(owner: string) {
    this.#owner = owner;
  }

  /**
   * Claims the folder for a run; the same run may claim it again, also from another store. Errors:
   * `failed_precondition` when another active run has it, or when the object store ignores conditions; `aborted` when a
   * newer owner of the run has it.
   */
  async take(bucket: Bucket, address: S3Address, claimant: Claimant): Promise<Claim> {
    const { url, prefix } = address;
    const { runId } = claimant;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { lock, condition } = await this.#read(bucket, prefix);
      refuseOlder(url, lock, claimant);
      if (lock && isHeldBy(lock, claimant, this.#owner)) {
        const contested = this.#held.get(url)?.contested ?? false;
        this.#held.set(url, { bucket, claimant, contested });
        return { again: true, fresh: false };
      }
      if (lock && lock.run_id !== runId && isAlive(lock)) throw inUse(url, lock);
      try {
        await bucket.put(`${prefix}${LOCK_FILE}`, this.#lockFor(claimant), condition);
      } catch (error) {
        // Another store was faster, or the response to a first attempt was lost: the next round sees whose it is.
        if (isConditionFailed(error) || isNoSuchKey(error)) continue;
        throw error;
      }
      if (!(await this.#checkConditions(bucket, address, claimant))) continue;
      const contested = lock !== undefined && isAlive(lock);
      this.#held.set(url, { bucket, claimant, contested });
      return { again: lock?.run_id === runId, fresh: true };
    }
    throw new GradpoolError("unavailable", `output_dir ${url} keeps being claimed by others; try again later`);
  }

  /** Errors: `aborted` when a newer owner of the run has the folder, `unavailable` when another store has. */
  async checkHeld(bucket: Bucket, { url, prefix }: S3Address, claimant: Claimant): Promise<void> {
    const { lock } = await this.#read(bucket, prefix);
    checkHeld(url, lock, claimant, this.#owner);
  }

  /** Errors: `aborted` when a newer owner of the run has the folder. */
  async refuseOlder(bucket: Bucket, { url, prefix }: S3Address, claimant: Claimant): Promise<void> {
    const { lock } = await this.#read(bucket, prefix);
    refuseOlder(url, lock, claimant);
  }

  /**
   * Releases the folder if the run claimed it through this store, and no newer owner of the run has it. Where a condition does not hold back a deletion, the
   * lock is replaced by one that names nobody: another store may have taken it since it was read.
   */
  async release({ url, prefix, bucket: name }: S3Address, claimant: Claimant): Promise<void> {
    const held = this.#held.get(url);
    if (!held || !isSame(held.claimant, claimant)) return;
    this.#held.delete(url);
    const { lock, condition } = await this.#read(held.bucket, prefix);
    if (!lock || !isHeldBy(lock, claimant, this.#owner)) return;
    try {
      if (this.#tried.get(name)) await held.bucket.delete(`${prefix}${LOCK_FILE}`, condition);
      else await held.bucket.put(`${prefix}${LOCK_FILE}`, NOBODY, condition);
    } catch (error) {
      if (!isConditionFailed(error)) throw error;
    }
  }

  /** Another store had the folder for the same run, and may not know yet that it no longer has it. */
  isContested(url: string): boolean {
    return this.#held.get(url)?.contested ?? false;
  }

  /** URLs of the folders that this store holds. */
  get held(): [url: string, claimant: Claimant][] {
    return [...this.#held].map(([url, { claimant }]) => [url, claimant]);
  }

  #lockFor({ runId, ownerEpoch }: Claimant): Uint8Array {
    return lockBytes(lockOf(runId, this.#owner, ownerEpoch));
  }

  /**
   * Some object stores silently ignore conditions: two runs would write into one folder. Tries each that is relied on,
   * on the lock that was just made; false if another store took it meanwhile.
   */
  async #checkConditions(bucket: Bucket, address: S3Address, claimant: Claimant): Promise<boolean> {
    const { bucket: name, prefix, url } = address;
    if (this.#tried.has(name)) return true;
    const key = `${prefix}${LOCK_FILE}`;
    const lock = this.#lockFor(claimant);
    for (const [header, condition] of [
      ["If-None-Match", NOTHING_THERE],
      ["If-Match", OTHER_OBJECT],
    ] as const) {
      if (await isHeldBack(bucket.put(key, lock, condition))) continue;
      await bucket.delete(key);
      const problem = `output_dir ${url} is in an object store that ignores ${header}`;
      throw new GradpoolError("failed_precondition", `${problem}; choose one with conditional writes`);
    }
    const honoursInDelete = await isHeldBack(bucket.delete(key, OTHER_OBJECT));
    this.#tried.set(name, honoursInDelete);
    if (honoursInDelete) return true;
    // Where it is ignored, as by MinIO, the lock is gone.
    await isHeldBack(bucket.put(key, lock, NOTHING_THERE));
    const { lock: now } = await this.#read(bucket, prefix);
    return now !== undefined && isHeldBy(now, claimant, this.#owner);
  }

  /** The lock, and the condition for a write to replace what was read. */
  async #read(bucket: Bucket, prefix: string): Promise<{ lock: Lock | undefined; condition: Condition }> {
    const found = await bucket.small(`${prefix}${LOCK_FILE}`, MAX_LOCK_BYTES);
    if (found === undefined) return { lock: undefined, condition: NOTHING_THERE };
    if (found === "too large") {
      throw new GradpoolError("failed_precondition", `object ${prefix}${LOCK_FILE} is not a gradpool lock; remove it`);
    }
    return { lock: parseLock(new TextDecoder().decode(found.bytes)), condition: { IfMatch: found.etag } };
  }
}
