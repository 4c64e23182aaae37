import { lines } from "./lines.js";
import type { OpenFile, Place, ReadOptions, Row, RowReader } from "./reader.js";

const CARRIAGE_RETURN = 13;

/**
 * Plain text: one row per line that is not blank. Like Hugging Face's `text` loader, \n, \r\n and \r
 * all end a line; line numbers count \n alone.
 */
export const txtReader: RowReader = {
  async *rows(file: OpenFile, from: Place, options: ReadOptions): AsyncGenerator<Row[]> {
    for await (const found of lines(file, from, options)) {
      const rows: Row[] = [];
      for (const { bytes, start, end } of found) {
        for (let at = 0; at < bytes.length;) {
          const stop = bytes.indexOf(CARRIAGE_RETURN, at);
          const text = bytes.toString("utf8", at, stop < 0 ? bytes.length : stop);
          const next = stop < 0 ? end : { byteOffset: start.byteOffset + stop + 1, line: start.line };
          if (text.trim() !== "") {
            rows.push({ text, start: { byteOffset: start.byteOffset + at, line: start.line }, end: next });
          }
          if (stop < 0) break;
          at = stop + 1;
        }
      }
      if (rows.length > 0) yield rows;
    }
  },
};
