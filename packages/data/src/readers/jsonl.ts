import { GradpoolError } from "@gradpool/errors";
import { lines, type Line } from "./lines.js";
import type { OpenFile, Place, ReadOptions, Row, RowReader } from "./reader.js";

/** Column names that a message lists at most. */
const LISTED_COLUMNS = 20;

/** JSON Lines: one object a line, its text in `textColumn`; blank lines are skipped. */
export const jsonlReader: RowReader = {
  async *rows(file: OpenFile, from: Place, options: ReadOptions): AsyncGenerator<Row[]> {
    for await (const found of lines(file, from, options)) {
      const rows: Row[] = [];
      let failure: { error: unknown } | undefined;
      for (const line of found) {
        try {
          const text = textOf(line, file.source.name, options.textColumn);
          if (text !== undefined) rows.push({ text, start: line.start, end: line.end });
        } catch (error) {
          failure = { error };
          break;
        }
      }
      if (rows.length > 0) yield rows;
      // Only now: who wants no more than the rows before it never meets it.
      if (failure) throw failure.error;
    }
  },
};

function textOf(line: Line, name: string, textColumn: string): string | undefined {
  const json = line.bytes.toString("utf8");
  const refuse = (what: string, cause?: unknown) =>
    new GradpoolError("invalid_argument", `${name}:${line.start.line}: ${what}`, { cause });
  let row: unknown;
  try {
    row = JSON.parse(json);
  } catch (error) {
    if (json.trim() === "") return undefined;
    throw refuse("not JSON; each line must hold one JSON object", error);
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw refuse(`the line holds ${kindOf(row)}; each line must hold one JSON object`);
  }
  const value = Object.hasOwn(row, textColumn) ? (row as Record<string, unknown>)[textColumn] : undefined;
  if (typeof value === "string") return value;
  if (value !== undefined) {
    throw refuse(`column ${JSON.stringify(textColumn)} holds ${kindOf(value)}, not a text; ${columnsOf(row)}`);
  }
  throw refuse(`no column ${JSON.stringify(textColumn)}; ${columnsOf(row)}`);
}

function columnsOf(row: object): string {
  const names = Object.keys(row);
  if (names.length === 0) return "the row has no columns";
  const listed = names.slice(0, LISTED_COLUMNS).map((name) => JSON.stringify(name));
  const more = names.length > LISTED_COLUMNS ? ` and ${names.length - LISTED_COLUMNS} more` : "";
  return `the row has ${listed.join(", ")}${more}: choose one with text_column`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return `a ${typeof value}`;
}
