import { MAX_JSON_DEPTH } from "../limits.js";
import { contentOfRow, kindOf, refused, type Columns, type RowContent } from "../row-content.js";
import { nestsTooDeeply } from "./json-scan.js";

/** The content of a row that is one JSON object; undefined for a blank. Errors: `invalid_argument`. */
export function contentOfJson(bytes: Buffer, columns: Columns, where: string): RowContent | undefined {
  if (nestsTooDeeply(bytes)) throw nestedTooDeeply(where);
  const json = bytes.toString("utf8");
  let row: unknown;
  try {
    row = JSON.parse(json);
  } catch (error) {
    if (json.trim() === "") return undefined;
    throw refused(where, "not JSON; each line must hold one JSON object", error);
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw refused(where, `the line holds ${kindOf(row)}; each line must hold one JSON object`);
  }
  return contentOfRow(row, columns, where);
}

export function nestedTooDeeply(where: string) {
  return refused(where, `the row is nested more than ${MAX_JSON_DEPTH} deep; leave out the column that is`);
}
