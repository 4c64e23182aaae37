import { parseExactJson } from "../exact-json.js";
import { MAX_JSON_DEPTH } from "../limits.js";
import { kindOf, refused } from "../refusals.js";
import { contentOfRow, contentOfText, type Columns, type RowContent } from "../row-content.js";
import { JsonScan } from "./json-scan.js";
import { utf8 } from "./utf8.js";

/** A JSON value, and how many members its text has if it is an object: more than keys where one is there twice. */
export interface JsonRow {
  value: unknown;
  members: number;
}

/** A text that is one JSON value; undefined when it is not. Errors: `invalid_argument` for nesting or bytes that cannot be read. */
export function parseRow(bytes: Buffer, columns: Columns, where: string): JsonRow | undefined {
  const members = membersOf(bytes, where);
  // Numbers in chats keep their kind, since templates print them.
  const value = parsed(utf8(bytes, where), columns.kind === "text" ? JSON.parse : parseExactJson);
  return value === undefined ? undefined : { value, members };
}

/**
 * The content of a row that is a JSON object, or a text in an array of them. Errors: `invalid_argument` for anything else, and for
 * a column that is there twice, unless the row is in an array, where the last one counts: both as Python's `datasets`.
 */
export function contentOfJson(
  { value, members }: JsonRow,
  inArray: boolean,
  columns: Columns,
  where: string,
): RowContent {
  if (typeof value === "string" && inArray) return contentOfText(value, columns, where);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refused(where, `the line holds ${kindOf(value)}; each line must hold one JSON object`);
  }
  if (members > Object.keys(value).length && !inArray) {
    throw refused(where, "two columns have the same name; give every column its own");
  }
  return contentOfRow(value, columns, where);
}

/** Members of the outermost object. Errors: `invalid_argument` for nesting beyond MAX_JSON_DEPTH. */
function membersOf(bytes: Buffer, where: string): number {
  const scan = new JsonScan();
  try {
    for (let at = 0; at >= 0 && at < bytes.length;) at = scan.end(bytes, at);
  } catch (error) {
    if (error instanceof RangeError) throw nestedTooDeeply(where);
    throw error;
  }
  return scan.members;
}

/** JSON as Python writes it: also with NaN (here null), Infinity and -Infinity. Undefined for anything else. */
function parsed(json: string, parse: (text: string) => unknown): unknown {
  try {
    return parse(json);
  } catch {
    if (!/NaN|Infinity/.test(json)) return undefined;
  }
  const word = (token: string) => (token === "NaN" ? "null" : token === "Infinity" ? "1e999" : token);
  try {
    return parse(json.replace(/"[^"\\]*(?:\\[^][^"\\]*)*"|\bNaN\b|\bInfinity\b/g, word));
  } catch {
    return undefined;
  }
}

export function nestedTooDeeply(where: string) {
  return refused(where, `the row is nested more than ${MAX_JSON_DEPTH} deep; remove the column that is`);
}
