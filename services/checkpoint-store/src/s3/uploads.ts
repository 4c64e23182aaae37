/**
 * The multipart uploads that a store has begun in an output folder. Stores differ in how they list them (MinIO only by
 * an object's exact key), so they are written down in an object beside the lock, from which the next store clears
 * what a crash left. It exists while there are any.
 */
import { parseJson } from "@gradpool/errors";
import { z } from "zod";
import { Serial } from "../serial.js";
import type { Bucket, Condition, UploadedPart } from "./bucket.js";
import { isNoSuchUpload } from "./errors.js";

const JOURNALS = ".gradpool.uploads.";
const MAX_JOURNAL_BYTES = 1 << 20;

const schema = z.array(z.object({ key: z.string(), upload_id: z.string() }));

export class Uploads {
  readonly #bucket: Bucket;
  readonly #journal: string;
  /** Keys by the upload's id. */
  readonly #open = new Map<string, string>();
  readonly #writes = new Serial();

  /** `owner`: tells stores apart that write into one folder. */
  constructor(bucket: Bucket, prefix: string, owner: string) {
    this.#bucket = bucket;
    this.#journal = `${prefix}${JOURNALS}${owner}`;
  }

  /** Starts an upload; returns its id. It holds nothing before it is written down. */
  async begin(key: string): Promise<string> {
    const uploadId = await this.#bucket.beginParts(key);
    this.#open.set(uploadId, key);
    await this.#write();
    return uploadId;
  }

  /** The whole object appears at once. */
  async complete(key: string, uploadId: string, parts: UploadedPart[], condition: Condition): Promise<void> {
    await this.#bucket.completeParts(key, uploadId, parts, condition);
    await this.#ended(uploadId);
  }

  async abort(key: string, uploadId: string): Promise<void> {
    await this.#bucket.abortParts(key, uploadId);
    await this.#ended(uploadId);
  }

  /** Clears what other stores, which no longer have the folder, have begun in it. */
  async clearOthers(prefix: string): Promise<void> {
    for (const { key: journal } of await this.#bucket.objects(`${prefix}${JOURNALS}`)) {
      if (journal === this.#journal) continue;
      const found = await this.#bucket.small(journal, MAX_JOURNAL_BYTES);
      for (const { key, upload_id } of entriesOf(found)) {
        if (!key.startsWith(prefix)) continue;
        await this.#bucket.abortParts(key, upload_id).catch((error: unknown) => {
          if (!isNoSuchUpload(error)) throw error;
        });
      }
      await this.#bucket.delete(journal);
    }
  }

  /** What stays written down is merely looked for in vain. */
  async #ended(uploadId: string): Promise<void> {
    this.#open.delete(uploadId);
    await this.#write().catch(() => {});
  }

  #write(): Promise<void> {
    return this.#writes.run("", async () => {
      if (this.#open.size === 0) return this.#bucket.delete(this.#journal);
      const entries: z.infer<typeof schema> = [...this.#open].map(([upload_id, key]) => ({ key, upload_id }));
      await this.#bucket.put(this.#journal, Buffer.from(JSON.stringify(entries)), {});
    });
  }
}

function entriesOf(found: Awaited<ReturnType<Bucket["small"]>>): z.infer<typeof schema> {
  if (typeof found !== "object") return [];
  try {
    return schema.parse(parseJson(new TextDecoder().decode(found.bytes)));
  } catch {
    return [];
  }
}
