import type { NewFile } from "../file-system.js";
import type { Bucket, Condition, UploadedPart } from "./bucket.js";
import type { Uploads } from "./uploads.js";

/** S3's minimum for all parts but the last, of which there are at most MAX_PARTS. */
const PART_BYTES = 8 << 20;
const MAX_PARTS = 10_000;

export interface ObjectPlan {
  key: string;
  sizeBytes: number;
  condition: Condition;
  /** The object appears with `publish`, not when its bytes have arrived. */
  later: boolean;
}

/**
 * An object being written in constant memory: at once if it is small, else in parts. It appears whole or not at all.
 */
export class ObjectWriter implements NewFile {
  readonly #bucket: Bucket;
  readonly #uploads: Uploads;
  readonly #plan: ObjectPlan;
  readonly #signal: AbortSignal;
  readonly #partBytes: number;
  readonly #parts: UploadedPart[] = [];
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #uploadId: string | undefined;

  constructor({ bucket, uploads }: { bucket: Bucket; uploads: Uploads }, plan: ObjectPlan, signal: AbortSignal) {
    this.#bucket = bucket;
    this.#uploads = uploads;
    this.#plan = plan;
    this.#signal = signal;
    this.#partBytes = Math.max(PART_BYTES, Math.ceil(plan.sizeBytes / MAX_PARTS));
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let rest = bytes; rest.byteLength > 0;) {
      const piece = rest.subarray(0, this.#partBytes - this.#waitingBytes);
      this.#waiting.push(piece);
      this.#waitingBytes += piece.byteLength;
      rest = rest.subarray(piece.byteLength);
      // The last part waits for `sync`, which knows that it is the last.
      if (this.#waitingBytes === this.#partBytes && this.#plan.sizeBytes > this.#partBytes) await this.#sendPart();
    }
  }

  /** Returns once the object store has the bytes. */
  async sync(): Promise<void> {
    const { key, sizeBytes, condition, later } = this.#plan;
    if (!later && sizeBytes <= this.#partBytes) {
      await this.#bucket.put(key, this.#take(), condition, this.#signal);
      return;
    }
    if (this.#waitingBytes > 0 || this.#parts.length === 0) await this.#sendPart();
    if (!later) await this.publish();
  }

  /** Makes an object with a delayed appearance appear. */
  async publish(): Promise<void> {
    const uploadId = this.#uploadId;
    if (uploadId === undefined) throw new Error("an object is published after it was written");
    await this.#uploads.complete(this.#plan.key, uploadId, this.#parts, this.#plan.condition);
    this.#uploadId = undefined;
  }

  async close(): Promise<void> {}

  /** Discards what has not appeared yet. */
  async abandon(): Promise<void> {
    if (this.#uploadId !== undefined) await this.#uploads.abort(this.#plan.key, this.#uploadId);
  }

  async #sendPart(): Promise<void> {
    const { key } = this.#plan;
    this.#uploadId ??= await this.#uploads.begin(key);
    const number = this.#parts.length + 1;
    this.#parts.push(await this.#bucket.putPart(key, this.#uploadId, number, this.#take(), this.#signal));
  }

  #take(): Uint8Array {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return bytes;
  }
}
