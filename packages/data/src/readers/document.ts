import { MAX_ROW_BYTES } from "../limits.js";
import { BYTE_ORDER_MARK, rowTooLarge } from "./lines.js";
import { FILE_START, type OpenFile, type Place, type Row, type RowReader } from "./reader.js";

/** Bytes looked at to tell text from binary, as git does. */
const PROBE_BYTES = 8000;

/** A source or text file as one row, unchanged but for a byte order mark. A blank or binary file has no row. */
export const documentReader: RowReader = {
  async *rows(file: OpenFile, from: Place): AsyncGenerator<Row[]> {
    const { name, sizeBytes } = file.source;
    if (from.byteOffset >= sizeBytes || (await isBinary(file))) return;
    if (sizeBytes > MAX_ROW_BYTES) throw rowTooLarge(name);
    const bytes = Buffer.allocUnsafe(sizeBytes);
    const filled = await file.read(bytes, 0);
    const marked = bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
    const text = bytes.toString("utf8", marked ? BYTE_ORDER_MARK.length : 0, filled);
    if (text.trim() !== "") yield [{ text, start: FILE_START, end: { byteOffset: sizeBytes, line: 1 } }];
  },
};

/** Whether a file holds a zero byte near its beginning. */
export async function isBinary(file: OpenFile): Promise<boolean> {
  const probe = Buffer.alloc(Math.min(PROBE_BYTES, file.source.sizeBytes));
  const filled = await file.read(probe, 0);
  return probe.subarray(0, filled).includes(0);
}
