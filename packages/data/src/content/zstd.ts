/**
 * Zstandard (RFC 8878), frame by frame and block by block: fzstd decodes, but is given one block at a time,
 * so that no more than a block's bytes come out at once. It does not check a frame's checksum: that is done here.
 */
import { Decompress } from "fzstd";
import { GradpoolError } from "@gradpool/errors";
import { MAX_ZSTD_WINDOW_BYTES } from "../limits.js";
import type { ByteReader } from "./byte-reader.js";
import type { ContentChunk } from "./content-chunk.js";
import { Checksum } from "./checksum.js";
import { damaged, Expansion } from "./expansion.js";

const MAGIC = 0xfd2fb528;
/** The low four bits of a skippable frame's magic are free. */
const SKIPPABLE_MAGIC = 0x184d2a5;
const MAX_BLOCK_BYTES = 128 * 1024;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/** The content of all frames from the reader's place on, which is the start of one. Errors: `data_loss`, `invalid_argument`. */
export async function* unzstd(reader: ByteReader): AsyncGenerator<ContentChunk> {
  const expansion = new Expansion(reader.name);
  const start = reader.offset;
  for (let frame = start; ; frame = reader.offset) {
    const magic = await reader.take(4);
    if (magic.length === 0) return;
    if (magic.length < 4) throw cutShort(reader);
    if (magic.readUInt32LE() >>> 4 === SKIPPABLE_MAGIC) {
      await skipFrame(reader);
      continue;
    }
    if (magic.readUInt32LE() !== MAGIC) {
      throw damaged(
        reader.name,
        frame > start ? "other data follows its zstd data" : "it does not begin with zstd data",
      );
    }
    let innerOffset = 0;
    for await (const bytes of frameContent(reader, magic)) {
      expansion.add(bytes.length, reader.offset - start);
      yield { bytes, at: { byteOffset: frame, innerOffset }, readBytes: reader.offset };
      innerOffset += bytes.length;
    }
  }
}

async function skipFrame(reader: ByteReader): Promise<void> {
  const length = await reader.take(4);
  if (length.length < 4) throw cutShort(reader);
  for (let left = length.readUInt32LE(); left > 0;) {
    const bytes = await reader.next();
    if (bytes === undefined) throw cutShort(reader);
    if (bytes.length > left) reader.unread(bytes.subarray(left));
    left -= Math.min(left, bytes.length);
  }
}

async function* frameContent(reader: ByteReader, magic: Buffer): AsyncGenerator<Buffer> {
  const { header, hasChecksum, contentSize } = await frameHeader(reader);
  const found: Buffer[] = [];
  const decompress = new Decompress((bytes) => {
    // A copy: fzstd may use its buffer again.
    if (bytes.length > 0) found.push(Buffer.from(bytes));
  });
  let next = Buffer.concat([magic, header]);
  let total = 0;
  let stored: Buffer | undefined;
  const checksum = hasChecksum ? new Checksum() : undefined;
  for (let last = false; !last;) {
    const block = await readBlock(reader);
    last = block.last;
    next = Buffer.concat([next, ...block.parts]);
    if (last && checksum) next = Buffer.concat([next, (stored = await exactly(reader, CHECKSUM_BYTES))]);
    try {
      decompress.push(next, last);
    } catch (error) {
      throw damaged(reader.name, "its zstd data cannot be decoded", error);
    }
    next = Buffer.alloc(0);
    for (const bytes of found.splice(0)) {
      total += bytes.length;
      checksum?.add(bytes);
      yield bytes;
    }
  }
  if (checksum?.value() !== stored?.readUInt32LE()) {
    throw damaged(reader.name, "a zstd frame's content does not match its checksum");
  }
  if (contentSize !== undefined && total !== contentSize) {
    throw damaged(reader.name, `a zstd frame holds ${total} bytes instead of ${contentSize}`);
  }
}

async function frameHeader(reader: ByteReader) {
  const descriptor = await exactly(reader, 1);
  const flags = descriptor[0]!;
  const singleSegment = (flags & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3]!;
  const sizeBytes = flags >> 6 === 0 ? (singleSegment ? 1 : 0) : 1 << (flags >> 6);
  const rest = await exactly(reader, (singleSegment ? 0 : 1) + dictionaryBytes + sizeBytes);
  if (flags & 8) throw damaged(reader.name, "its zstd header has unknown flags");
  const dictionary = rest.subarray(singleSegment ? 0 : 1, (singleSegment ? 0 : 1) + dictionaryBytes);
  if (dictionary.some((byte) => byte !== 0)) {
    throw new GradpoolError("invalid_argument", `${reader.name} needs a zstd dictionary; compress it without one`);
  }
  const contentSize = sizeBytes === 0 ? undefined : sizeOf(rest.subarray(rest.length - sizeBytes));
  const windowBytes = singleSegment ? contentSize! : windowOf(rest[0]!);
  if (windowBytes > MAX_ZSTD_WINDOW_BYTES) {
    const limit = `${MAX_ZSTD_WINDOW_BYTES / 1024 / 1024} MiB`;
    const message = `${reader.name} needs a zstd window of ${windowBytes} bytes, more than ${limit}; compress it with --long=27 or less`;
    throw new GradpoolError("invalid_argument", message);
  }
  return { header: Buffer.concat([descriptor, rest]), hasChecksum: (flags & 4) !== 0, contentSize };
}

function sizeOf(bytes: Buffer): number {
  if (bytes.length === 8) return Number(bytes.readBigUInt64LE());
  return bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0);
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

async function readBlock(reader: ByteReader): Promise<{ parts: Buffer[]; last: boolean }> {
  const header = await exactly(reader, BLOCK_HEADER_BYTES);
  const bits = header.readUIntLE(0, BLOCK_HEADER_BYTES);
  const kind = (bits >> 1) & 3;
  const size = bits >> 3;
  if (kind === RESERVED_BLOCK || size > MAX_BLOCK_BYTES) throw damaged(reader.name, "a zstd block has an unknown type");
  const data = await exactly(reader, kind === RLE_BLOCK ? 1 : size);
  return { parts: [header, data], last: (bits & 1) === 1 };
}

async function exactly(reader: ByteReader, count: number): Promise<Buffer> {
  const bytes = await reader.take(count);
  if (bytes.length < count) throw cutShort(reader);
  return bytes;
}

function cutShort(reader: ByteReader): GradpoolError {
  return damaged(reader.name, "its zstd data is truncated");
}
