/**
 * Gzip (RFC 1952), member by member: Node's own gunzip joins members without saying where they begin,
 * which is where a cursor can resume without what is before.
 */
import { once } from "node:events";
import { crc32, createInflateRaw, type InflateRaw } from "node:zlib";
import type { ByteReader } from "./byte-reader.js";
import type { ContentChunk } from "./content-chunk.js";
import { damaged, Expansion } from "./expansion.js";

const MAGIC_DEFLATE = Buffer.from([0x1f, 0x8b, 8]);
const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
const FLAGS = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };

/** Most bytes of a name or comment in a header. */
const MAX_HEADER_TEXT_BYTES = 64 * 1024;

/** The content of all members from the reader's place on, which is the start of one. Errors: `data_loss`. */
export async function* gunzip(reader: ByteReader): AsyncGenerator<ContentChunk> {
  const expansion = new Expansion(reader.name);
  const start = reader.offset;
  for (let member = start; await readHeader(reader, member > start); member = reader.offset) {
    let innerOffset = 0;
    let crc = 0;
    for await (const bytes of inflated(reader)) {
      expansion.add(bytes.length, reader.offset - start);
      crc = crc32(bytes, crc);
      yield { bytes, at: { byteOffset: member, innerOffset }, readBytes: reader.offset };
      innerOffset += bytes.length;
    }
    const trailer = await reader.take(TRAILER_BYTES);
    if (trailer.length < TRAILER_BYTES) throw cutShort(reader);
    if (trailer.readUInt32LE(0) !== crc || trailer.readUInt32LE(4) !== innerOffset % 2 ** 32) {
      throw damaged(reader.name, "a checksum of its gzip data does not match");
    }
  }
}

/** Reads a member's header; false at the end, where zeros may follow the last member. */
async function readHeader(reader: ByteReader, isLater: boolean): Promise<boolean> {
  const header = await reader.take(HEADER_BYTES);
  if (header.length === 0 || (isLater && (await onlyZerosFollow(reader, header)))) return false;
  if (!MAGIC_DEFLATE.equals(header.subarray(0, MAGIC_DEFLATE.length))) {
    throw damaged(reader.name, isLater ? "other data follows its gzip data" : "it does not begin with gzip data");
  }
  if (header.length < HEADER_BYTES) throw cutShort(reader);
  const flags = header[3]!;
  if (flags & FLAGS.reserved) throw damaged(reader.name, "its gzip header has unknown flags");
  if (flags & FLAGS.extra) {
    const length = await reader.take(2);
    if (length.length < 2) throw cutShort(reader);
    await reader.take(length.readUInt16LE());
  }
  if (flags & FLAGS.name) await skipText(reader);
  if (flags & FLAGS.comment) await skipText(reader);
  if (flags & FLAGS.headerCrc) await reader.take(2);
  return true;
}

async function onlyZerosFollow(reader: ByteReader, first: Buffer): Promise<boolean> {
  for (let bytes: Buffer | undefined = first; bytes; bytes = await reader.next()) {
    if (bytes.some((byte) => byte !== 0)) return false;
  }
  return true;
}

async function skipText(reader: ByteReader): Promise<void> {
  for (let skipped = 0; skipped < MAX_HEADER_TEXT_BYTES;) {
    const bytes = await reader.next();
    if (bytes === undefined) throw cutShort(reader);
    const end = bytes.indexOf(0);
    if (end >= 0) return reader.unread(bytes.subarray(end + 1));
    skipped += bytes.length;
  }
  throw damaged(reader.name, "a text in its gzip header has no end");
}

/** One deflate stream. Holds what is being inflated, whatever it inflates to; the reader is then after it. */
async function* inflated(reader: ByteReader): AsyncGenerator<Buffer> {
  const inflate = createInflateRaw({ chunkSize: 64 * 1024 });
  const feeding = feed(reader, inflate);
  // Its failure is the stream's own.
  feeding.catch(() => {});
  try {
    for await (const bytes of inflate) yield bytes as Buffer;
  } catch (error) {
    if (error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("Z_")) {
      throw error.code === "Z_BUF_ERROR"
        ? cutShort(reader)
        : damaged(reader.name, "its gzip data is not a deflate stream", error);
    }
    throw error;
  } finally {
    inflate.destroy();
  }
  const { bytes, fed } = await feeding;
  reader.unread(bytes.subarray(bytes.length - (fed - inflate.bytesWritten)));
}

/** Writes the reader's bytes, one piece at a time, until the stream ends. Returns the last piece and what was fed in all. */
async function feed(reader: ByteReader, inflate: InflateRaw): Promise<{ bytes: Buffer; fed: number }> {
  let bytes: Buffer = Buffer.alloc(0);
  let fed = 0;
  const stopped = new AbortController();
  const closed = once(inflate, "close", { signal: stopped.signal });
  closed.catch(() => {});
  try {
    for (;;) {
      const next = await reader.next();
      if (next === undefined) {
        inflate.end();
        return { bytes, fed };
      }
      bytes = next;
      fed += bytes.length;
      await Promise.race([new Promise<void>((resolve) => inflate.write(bytes, () => resolve())), closed]);
      // The piece in which the stream ends is answered like any other, but it is only taken in part.
      if (inflate.destroyed || inflate.bytesWritten < fed) return { bytes, fed };
    }
  } catch (error) {
    inflate.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  } finally {
    stopped.abort();
  }
}

function cutShort(reader: ByteReader) {
  return damaged(reader.name, "its gzip data is truncated");
}
