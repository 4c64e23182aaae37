import { GradpoolError } from "@gradpool/errors";
import { advanced, contentOf, readBytesAt } from "../content/content.js";
import { MAX_ROW_BYTES } from "../limits.js";
import { isFileStart, type BytePlace, type Place, type SourceFile } from "./reader.js";

export interface Line {
  /** Without its line feed. */
  bytes: Buffer;
  /** From 1. */
  line: number;
  /** Place of its first byte. */
  start: BytePlace;
  /** After its line feed. */
  end: Place;
  /** Bytes of the file read so far. */
  readBytes: number;
}

export const LINE_FEED = 10;
export const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The lines from `from` on, those of one piece of content at a time; a byte order mark is left out. Holds
 * one piece and one line. Errors: `invalid_argument` for a line above MAX_ROW_BYTES; those of the content.
 */
export async function* lines(file: SourceFile, from: Place, signal: AbortSignal): AsyncGenerator<Line[]> {
  let line = from.line;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let lineStart: BytePlace = { byteOffset: from.byteOffset, innerOffset: from.innerOffset };
  let mayBeMarked = isFileStart(from);
  let last: { end: BytePlace; readBytes: number } | undefined;
  const take = (last: Buffer, end: BytePlace, readBytes: number): Line => {
    let bytes = pendingBytes > 0 ? Buffer.concat([...pending, last]) : last;
    let start = lineStart;
    if (mayBeMarked && isMarked(bytes)) {
      bytes = bytes.subarray(BYTE_ORDER_MARK.length);
      start = advanced(file, start, BYTE_ORDER_MARK.length);
    }
    mayBeMarked = false;
    pending = [];
    pendingBytes = 0;
    lineStart = end;
    return { bytes, line, start, end: { ...end, line: ++line }, readBytes: readBytesAt(file, end, readBytes) };
  };
  for await (const { bytes, at, readBytes } of contentOf(file, from, signal)) {
    signal.throwIfAborted();
    const found: Line[] = [];
    let start = 0;
    for (let stop = bytes.indexOf(LINE_FEED); stop >= 0; stop = bytes.indexOf(LINE_FEED, start)) {
      const piece = bytes.subarray(start, stop);
      checkLength(pendingBytes + piece.length, file, line);
      found.push(take(piece, advanced(file, at, stop + 1), readBytes));
      start = stop + 1;
    }
    if (found.length > 0) yield found;
    if (start < bytes.length) {
      pending.push(bytes.subarray(start));
      pendingBytes += bytes.length - start;
      checkLength(pendingBytes, file, line);
    }
    last = { end: advanced(file, at, bytes.length), readBytes };
  }
  if (pendingBytes > 0 && last) yield [take(Buffer.alloc(0), last.end, last.readBytes)];
}

/** How many line feeds there are. */
export function lineFeeds(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count++;
  return count;
}

export function isMarked(bytes: Buffer): boolean {
  return bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
}

function checkLength(bytes: number, file: SourceFile, line: number): void {
  if (bytes > MAX_ROW_BYTES) throw rowTooLarge(`${file.name}:${line}: the line`);
}

export function rowTooLarge(what: string): GradpoolError {
  const limit = `${MAX_ROW_BYTES / 1024 / 1024} MiB`;
  return new GradpoolError("invalid_argument", `${what} is longer than ${limit}; split it into shorter rows`);
}
