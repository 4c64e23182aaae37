import type { ManifestFile } from "@gradpool/run-folder";
import type { OpenFile } from "../file-system.js";
import type { Bucket } from "./bucket.js";
import { isConditionFailed, isNoSuchKey } from "./errors.js";

/** Bytes read in one request, which takes tens of milliseconds, and held in memory. */
const READ_AHEAD_BYTES = 8 << 20;

/** Opens a file of the manifest under `location`, or says what is wrong with it. */
export async function openObject(bucket: Bucket, location: string, file: ManifestFile): Promise<OpenFile | string> {
  const key = `${location}${file.path}`;
  const found = await bucket.head(key);
  if (!found) return `file ${file.path} is missing`;
  const { sizeBytes, etag } = found;
  if (sizeBytes !== file.sizeBytes) return `file ${file.path} has ${sizeBytes} bytes instead of ${file.sizeBytes}`;
  let ahead: Uint8Array = new Uint8Array();
  let aheadFrom = 0;
  return {
    sizeBytes,
    async read(buffer, position) {
      let done = 0;
      while (done < buffer.byteLength && position + done < sizeBytes) {
        const at = position + done - aheadFrom;
        if (at < 0 || at >= ahead.byteLength) {
          aheadFrom = position + done;
          ahead = await readObject(bucket, key, etag, aheadFrom);
          if (ahead.byteLength === 0) break;
          continue;
        }
        const piece = ahead.subarray(at, at + buffer.byteLength - done);
        buffer.set(piece, done);
        done += piece.byteLength;
      }
      return done;
    },
    async close() {},
  };
}

async function readObject(bucket: Bucket, key: string, etag: string, position: number): Promise<Uint8Array> {
  try {
    return await bucket.read(key, etag, position, READ_AHEAD_BYTES);
  } catch (error) {
    if (!isNoSuchKey(error) && !isConditionFailed(error)) throw error;
    // Like the error of a missing file.
    throw Object.assign(new Error(`${key} was removed or replaced`, { cause: error }), { code: "ENOENT" });
  }
}
