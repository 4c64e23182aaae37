/**
 * `.csv` and `.tsv` after RFC 4180: a header line, fields in double quotes that may hold delimiters, line
 * feeds and doubled quotes. Every value is a text, as it stands there; blank lines are skipped.
 */
import { MAX_CSV_FIELDS, MAX_ROW_BYTES } from "../limits.js";
import { contentOfRow, refused } from "../row-content.js";
import { lines, rowTooLarge, type Line } from "./lines.js";
import {
  FILE_START,
  isFileStart,
  type Place,
  type ReadOptions,
  type Row,
  type RowReader,
  type SourceFile,
} from "./reader.js";
import { untilFailure } from "./until-failure.js";

interface CsvRecord {
  text: string;
  /** Its first line, from 1. */
  line: number;
  end: Place;
  readBytes: number;
}

const QUOTE = 0x22;

export const csvReader = readerWith(",");
export const tsvReader = readerWith("\t");

function readerWith(delimiter: string): RowReader {
  return {
    async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
      const isStart = isFileStart(from);
      let header = isStart ? undefined : await headerOf(file, delimiter, signal);
      for await (const found of records(file, from, signal)) {
        yield* untilFailure(found, ({ text, line, end, readBytes }) => {
          const where = `${file.name}:${line}`;
          const fields = fieldsOf(text, delimiter, where);
          if (header === undefined) {
            header = checkedHeader(fields, where);
            return undefined;
          }
          if (fields.length !== header.length) {
            const what = `the row has ${fields.length} fields, but the header ${header.length}; quote fields with`;
            throw refused(where, `${what} ${JSON.stringify(delimiter)} or line ends in them`);
          }
          const row = Object.fromEntries(header.map((name, index) => [name, fields[index]]));
          return { content: contentOfRow(row, columns, where), bytes: text.length, end, readBytes };
        });
      }
    },
  };
}

async function headerOf(file: SourceFile, delimiter: string, signal: AbortSignal): Promise<string[] | undefined> {
  for await (const [record] of records(file, FILE_START, signal)) {
    if (record) return checkedHeader(fieldsOf(record.text, delimiter, `${file.name}:${record.line}`), file.name);
  }
  return undefined;
}

function checkedHeader(names: string[], where: string): string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return names;
  throw refused(where, `two columns are named ${JSON.stringify(twice)}; name every column differently`);
}

/** The records from a place on. A line feed ends one unless the quotes before it are odd in number. */
async function* records(file: SourceFile, from: Place, signal: AbortSignal): AsyncGenerator<CsvRecord[]> {
  let open: Line[] = [];
  let openBytes = 0;
  let isQuoted = false;
  for await (const found of lines(file, from, signal)) {
    const whole: CsvRecord[] = [];
    for (const line of found) {
      if (hasOddQuotes(line.bytes)) isQuoted = !isQuoted;
      openBytes += line.bytes.length + 1;
      open.push(line);
      if (openBytes > MAX_ROW_BYTES) throw rowTooLarge(`${file.name}:${open[0]!.line}: the row`);
      if (isQuoted) continue;
      const record = joined(open);
      if (record.text !== "") whole.push(record);
      open = [];
      openBytes = 0;
    }
    if (whole.length > 0) yield whole;
  }
  if (open[0]) throw refused(`${file.name}:${open[0].line}`, "a quote is never closed; double a quote within a field");
}

function joined(parts: Line[]): CsvRecord {
  const { line } = parts[0]!;
  const { end, readBytes } = parts.at(-1)!;
  const text = parts.map(({ bytes }) => bytes.toString("utf8")).join("\n");
  return { text: text.endsWith("\r") ? text.slice(0, -1) : text, line, end, readBytes };
}

function hasOddQuotes(bytes: Buffer): boolean {
  let odd = false;
  for (let at = bytes.indexOf(QUOTE); at >= 0; at = bytes.indexOf(QUOTE, at + 1)) odd = !odd;
  return odd;
}

function fieldsOf(text: string, delimiter: string, where: string): string[] {
  const fields = text.includes('"') ? quotedFields(text, delimiter, where) : text.split(delimiter, MAX_CSV_FIELDS + 1);
  if (fields.length > MAX_CSV_FIELDS) throw refused(where, `the row has more than ${MAX_CSV_FIELDS} fields; drop some`);
  return fields;
}

function quotedFields(text: string, delimiter: string, where: string): string[] {
  const fields: string[] = [];
  for (let at = 0; fields.length <= MAX_CSV_FIELDS;) {
    let stop: number;
    if (text[at] === '"') {
      stop = closingQuote(text, at + 1) + 1;
      fields.push(text.slice(at + 1, stop - 1).replaceAll('""', '"'));
      if (stop < text.length && text[stop] !== delimiter) {
        throw refused(where, "text follows a closing quote; double a quote within a field");
      }
    } else {
      const next = text.indexOf(delimiter, at);
      stop = next < 0 ? text.length : next;
      const field = text.slice(at, stop);
      if (field.includes('"')) throw refused(where, "a quote stands within a field; quote the field and double it");
      fields.push(field);
    }
    if (stop >= text.length) break;
    at = stop + 1;
  }
  return fields;
}

/** Index of the quote that is not doubled; a record's quotes are even in number, so there is one, or a stray. */
function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at;
  }
  return text.length;
}
