import { advanced, contentOf } from "../content/content.js";
import { contentOfJson, parseRow } from "./json-row.js";
import { jsonReader } from "./json.js";
import { LINE_FEED, lines } from "./lines.js";
import {
  FILE_START,
  isFileStart,
  lineName,
  type Place,
  type ReadOptions,
  type Row,
  type RowReader,
  type SourceFile,
} from "./reader.js";
import { untilFailure } from "./until-failure.js";

/**
 * JSON Lines: one object per line; blank lines are skipped. From the first other line on (objects over several lines
 * or several in one, or an array) the file is read as `.json`, value by value.
 */
export const jsonlReader: RowReader = {
  async *rows(file: SourceFile, from: Place, options: ReadOptions): AsyncGenerator<Row[]> {
    if (await isWithinLine(file, from, options.signal)) return yield* jsonReader.rows(file, from, options);
    for await (const found of lines(file, from, options.signal)) {
      let otherwise: Place | undefined;
      const single = function* () {
        for (const { bytes, line, start, end, readBytes } of found) {
          const where = `${file.name}:${line}`;
          const row = parseRow(bytes, options.columns, where);
          const isFirst = isFileStart(from) && line === FILE_START.line;
          if (row && !(isFirst && Array.isArray(row.value))) {
            const content = contentOfJson(row, false, options.columns, where);
            yield { content, line, bytes: bytes.length, end, readBytes };
          } else if (!isBlank(bytes)) {
            otherwise = isFirst ? FILE_START : { ...start, line };
            return;
          }
        }
      };
      yield* untilFailure(single(), (row) => row);
      if (otherwise) return yield* jsonReader.rows(file, otherwise, options);
    }
  },
  rowName: lineName,
};

/** Whether a place after a row is one that reading by value has left, since reading by lines ends after line feeds. */
async function isWithinLine(file: SourceFile, from: Place, signal: AbortSignal): Promise<boolean> {
  if (isFileStart(from)) return false;
  for await (const { bytes } of contentOf(file, advanced(file, from, -1), signal)) return bytes[0] !== LINE_FEED;
  return false;
}

function isBlank(bytes: Buffer): boolean {
  return bytes.toString("utf8").trim() === "";
}
