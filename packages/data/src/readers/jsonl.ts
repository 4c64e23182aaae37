import { contentOfJson } from "./json-row.js";
import { lines } from "./lines.js";
import type { Place, ReadOptions, Row, RowReader, SourceFile } from "./reader.js";
import { untilFailure } from "./until-failure.js";

/** JSON Lines: one object a line; blank lines are skipped. */
export const jsonlReader: RowReader = {
  async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
    for await (const found of lines(file, from, signal)) {
      yield* untilFailure(found, ({ bytes, line, end, readBytes }) => {
        const content = contentOfJson(bytes, columns, `${file.name}:${line}`);
        return content && { content, bytes: bytes.length, end, readBytes };
      });
    }
  },
};
