import { advanced } from "../content/content.js";
import { contentOfText } from "../row-content.js";
import { lines } from "./lines.js";
import { lineName, type Place, type ReadOptions, type Row, type RowReader, type SourceFile } from "./reader.js";
import { utf8 } from "./utf8.js";

const CARRIAGE_RETURN = 13;

/**
 * Plain text: one row per line that is not blank. Like Hugging Face's `text` loader, \n, \r\n and \r
 * all end a line; line numbers count \n alone.
 */
export const txtReader: RowReader = {
  async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
    for await (const found of lines(file, from, signal)) {
      const rows: Row[] = [];
      for (const { bytes, line, start, end, readBytes } of found) {
        for (let at = 0; at < bytes.length;) {
          const stop = bytes.indexOf(CARRIAGE_RETURN, at);
          const text = utf8(bytes.subarray(at, stop < 0 ? bytes.length : stop), `${file.name}:${line}`);
          const next = stop < 0 ? end : { ...advanced(file, start, stop + 1), line };
          if (text.trim() !== "") {
            const content = contentOfText(text, columns, file.name);
            rows.push({ content, line, bytes: text.length, end: next, readBytes });
          }
          if (stop < 0) break;
          at = stop + 1;
        }
      }
      if (rows.length > 0) yield rows;
    }
  },
  rowName: lineName,
};
