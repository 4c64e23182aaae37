import { GradpoolError } from "@gradpool/errors";
import { MAX_ROW_BYTES, READ_BYTES } from "../limits.js";
import type { OpenFile, Place, ReadOptions } from "./reader.js";

export interface Line {
  /** Without its line feed; valid until the next lines are asked for. */
  bytes: Buffer;
  start: Place;
  end: Place;
}

const LINE_FEED = 10;
export const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The lines from `from` on, those of one read at a time; a byte order mark is left out. Holds one
 * read and one line. Errors: `invalid_argument` for a line above MAX_ROW_BYTES.
 */
export async function* lines(file: OpenFile, from: Place, options: ReadOptions): AsyncGenerator<Line[]> {
  const until = options.until ?? file.source.sizeBytes;
  const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(READ_BYTES, until - from.byteOffset)));
  let start = from;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for (let offset = from.byteOffset; offset < until;) {
    options.signal.throwIfAborted();
    const filled = await file.read(buffer.subarray(0, until - offset), offset);
    if (filled === 0) break;
    const chunk = buffer.subarray(0, filled);
    const found: Line[] = [];
    let at = 0;
    if (offset === 0 && chunk.subarray(0, 3).equals(BYTE_ORDER_MARK)) {
      at = BYTE_ORDER_MARK.length;
      start = { byteOffset: at, line: start.line };
    }
    for (let stop = chunk.indexOf(LINE_FEED, at); stop >= 0; stop = chunk.indexOf(LINE_FEED, at)) {
      const piece = chunk.subarray(at, stop);
      checkLength(pendingBytes + piece.length, file, start);
      const bytes = pending.length > 0 ? Buffer.concat([...pending, piece]) : piece;
      const end = { byteOffset: offset + stop + 1, line: start.line + 1 };
      found.push({ bytes, start, end });
      start = end;
      at = stop + 1;
      pending = [];
      pendingBytes = 0;
    }
    if (found.length > 0) yield found;
    if (at < filled) {
      pending.push(Buffer.from(chunk.subarray(at)));
      pendingBytes += filled - at;
      checkLength(pendingBytes, file, start);
    }
    offset += filled;
  }
  if (pendingBytes > 0) {
    const end = { byteOffset: start.byteOffset + pendingBytes, line: start.line + 1 };
    yield [{ bytes: Buffer.concat(pending), start, end }];
  }
}

function checkLength(bytes: number, file: OpenFile, { line }: Place): void {
  if (bytes > MAX_ROW_BYTES) throw rowTooLarge(`${file.source.name}:${line}: the line`);
}

export function rowTooLarge(what: string): GradpoolError {
  const limit = `${MAX_ROW_BYTES / 1024 / 1024} MiB`;
  return new GradpoolError("invalid_argument", `${what} is longer than ${limit}; split it into rows below that`);
}
