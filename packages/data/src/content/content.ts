import type { BytePlace, SourceFile } from "../readers/reader.js";
import { ByteReader } from "./byte-reader.js";
import type { ContentChunk } from "./content-chunk.js";
import { gunzip } from "./gzip.js";
import { unzstd } from "./zstd.js";

/** The content from a place on. Compressed data is decompressed from its member's or frame's start on. */
export async function* contentOf(file: SourceFile, from: BytePlace, signal: AbortSignal): AsyncGenerator<ContentChunk> {
  const reader = new ByteReader(file.source, from.byteOffset, signal);
  try {
    if (file.codec === "none") yield* plain(reader);
    else yield* without(from.innerOffset, file.codec === "gzip" ? gunzip(reader) : unzstd(reader));
  } finally {
    await reader[Symbol.asyncDispose]();
  }
}

/** The place `count` content bytes after another. */
export function advanced(file: SourceFile, { byteOffset, innerOffset }: BytePlace, count: number): BytePlace {
  return file.codec === "none"
    ? { byteOffset: byteOffset + count, innerOffset }
    : { byteOffset, innerOffset: innerOffset + count };
}

/** Bytes of the file up to a place; in a compressed file, all `readBytes` read so far. */
export function readBytesAt(file: SourceFile, { byteOffset }: BytePlace, readBytes: number): number {
  return file.codec === "none" ? byteOffset : readBytes;
}

async function* plain(reader: ByteReader): AsyncGenerator<ContentChunk> {
  for (let byteOffset = reader.offset; ; byteOffset = reader.offset) {
    const bytes = await reader.next();
    if (bytes === undefined) return;
    yield { bytes, at: { byteOffset, innerOffset: 0 }, readBytes: reader.offset };
  }
}

/** Chunks without the first bytes, which may be more than the first member or frame holds. */
async function* without(count: number, chunks: AsyncIterable<ContentChunk>): AsyncGenerator<ContentChunk> {
  let left = count;
  for await (const { bytes, at, readBytes } of chunks) {
    const skip = Math.min(left, bytes.length);
    left -= skip;
    if (skip === bytes.length) continue;
    yield { bytes: bytes.subarray(skip), at: { ...at, innerOffset: at.innerOffset + skip }, readBytes };
  }
}
