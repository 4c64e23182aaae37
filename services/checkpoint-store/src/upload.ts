import { createHash } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import type { SaveFile } from "@gradpool/rpc";
import type { ManifestFile } from "@gradpool/run-folder";
import type { NewFile } from "./file-system.js";

/**
 * Writes the files that `data` holds one after the other, each made by `create` and synced, in constant
 * memory. Errors: `data_loss` when the bytes are fewer or more than the files' sizes; `cancelled`.
 */
export async function writeUpload(
  create: (file: SaveFile) => Promise<NewFile>,
  files: readonly SaveFile[],
  data: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<ManifestFile[]> {
  const pieces = new Pieces(data, signal);
  const written: ManifestFile[] = [];
  for (const { path, sizeBytes } of files) {
    const hash = createHash("sha256");
    const file = await create({ path, sizeBytes });
    try {
      for (let missing = sizeBytes; missing > 0;) {
        const piece = await pieces.next(missing);
        if (!piece) {
          throw new GradpoolError(
            "data_loss",
            `file ${path} is ${missing} bytes short of its ${sizeBytes}; send all of it`,
          );
        }
        hash.update(piece);
        await file.write(piece);
        missing -= piece.byteLength;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    written.push({ path, sizeBytes, sha256: hash.digest("hex") });
  }
  if (await pieces.next(1)) {
    throw new GradpoolError(
      "data_loss",
      "received more bytes than the files' sizes add up to; list the right sizes in the header",
    );
  }
  return written;
}

/** A stream of bytes, read in pieces of any size. */
class Pieces {
  readonly #data: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal;
  #rest: Uint8Array = new Uint8Array();

  constructor(data: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    this.#data = data[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  /** Up to `maxBytes` bytes, at least one; undefined at the end. */
  async next(maxBytes: number): Promise<Uint8Array | undefined> {
    while (this.#rest.byteLength === 0) {
      const result = await this.#data.next();
      // A cancelled call ends like a complete one.
      this.#signal.throwIfAborted();
      if (result.done) return undefined;
      this.#rest = result.value;
    }
    const piece = this.#rest.subarray(0, maxBytes);
    this.#rest = this.#rest.subarray(piece.byteLength);
    return piece;
  }
}
