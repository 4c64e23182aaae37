import type { BytePlace } from "../readers/reader.js";

/** Bytes of a file's content: decompressed where the file is compressed. */
export interface ContentChunk {
  bytes: Buffer;
  /** Where the first of them is. */
  at: BytePlace;
  /** Bytes of the file read so far. */
  readBytes: number;
}
