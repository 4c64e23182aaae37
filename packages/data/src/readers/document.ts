import { contentOf } from "../content/content.js";
import { MAX_ROW_BYTES } from "../limits.js";
import { contentOfText } from "../row-content.js";
import { BYTE_ORDER_MARK, isMarked, rowTooLarge } from "./lines.js";
import {
  FILE_START,
  isFileStart,
  type Place,
  type ReadOptions,
  type Row,
  type RowReader,
  type SourceFile,
} from "./reader.js";
import { utf8 } from "./utf8.js";

/** Bytes checked to tell text from binary, as git does. */
const PROBE_BYTES = 8000;

/** A source or text file as one row, unchanged but for a byte order mark. A blank or binary file has no row. */
export const documentReader: RowReader = {
  async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
    // The only other place is after the only row.
    if (!isFileStart(from)) return;
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    let readBytes = 0;
    for await (const chunk of contentOf(file, from, signal)) {
      if (hasZero(chunk.bytes, sizeBytes)) return;
      sizeBytes += chunk.bytes.length;
      if (sizeBytes > MAX_ROW_BYTES) throw rowTooLarge(file.name);
      readBytes = chunk.readBytes;
      pieces.push(chunk.bytes);
    }
    const bytes = Buffer.concat(pieces);
    const text = utf8(isMarked(bytes) ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes, file.name);
    if (text.trim() === "") return;
    const end = { byteOffset: file.codec === "none" ? sizeBytes : 0, innerOffset: sizeBytes, line: 1 };
    yield [{ content: contentOfText(text, columns, file.name), line: 1, bytes: text.length, end, readBytes }];
  },
  rowName: (fileName) => fileName,
};

/** Whether a file holds a zero byte near its beginning. */
export async function isBinary(file: SourceFile, signal: AbortSignal): Promise<boolean> {
  let seen = 0;
  for await (const { bytes } of contentOf(file, FILE_START, signal)) {
    if (hasZero(bytes, seen)) return true;
    seen += bytes.length;
    if (seen >= PROBE_BYTES) break;
  }
  return false;
}

function hasZero(bytes: Buffer, before: number): boolean {
  return before < PROBE_BYTES && bytes.subarray(0, PROBE_BYTES - before).includes(0);
}
