/** A database notices damage to its own structure, but takes any content for what was written: so each row has a checksum. */
import { createHash } from "node:crypto";

export type Value = number | string | Uint8Array | null;
export type Row = Record<string, Value>;

/** Of a SHA-256: enough to notice damage, which is not malice. */
const CHECKSUM_BYTES = 8;

/** Of a row's values, and of the table that they are in. */
export function checksumOf(table: string, values: readonly Value[]): Buffer {
  const hash = createHash("sha256").update(table);
  for (const value of values) {
    const content = value instanceof Uint8Array ? value : Buffer.from(String(value));
    // A type and a length before each content: no two rows have the same bytes.
    hash.update(`;${value instanceof Uint8Array ? "bytes" : typeof value} ${content.byteLength} `).update(content);
  }
  return hash.digest().subarray(0, CHECKSUM_BYTES);
}
