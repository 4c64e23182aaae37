/**
 * The framing of TFRecord files, little-endian: length (uint64), its masked CRC-32C (uint32), the bytes, their masked
 * CRC-32C (uint32). Source: tensorflow/core/lib/io/record_writer.
 */
import { maskedCrc32c } from "./crc32c.js";

const LENGTH_BYTES = 8;
const CHECKSUM_BYTES = 4;

export function framed(record: Uint8Array): Uint8Array {
  const start = LENGTH_BYTES + CHECKSUM_BYTES;
  const bytes = new Uint8Array(start + record.byteLength + CHECKSUM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(record.byteLength), true);
  view.setUint32(LENGTH_BYTES, maskedCrc32c(bytes.subarray(0, LENGTH_BYTES)), true);
  bytes.set(record, start);
  view.setUint32(start + record.byteLength, maskedCrc32c(record), true);
  return bytes;
}
