/**
 * `.csv` and `.tsv` as pandas' parser splits them: a header line; fields that begin with a double quote may hold delimiters, line
 * ends and doubled quotes; a quote anywhere else is an ordinary character. Lines end in LF, CRLF or CR. Every value is a text, as it is in the file; blank
 * lines are skipped, and a row may lack its last fields.
 */
import { advanced, contentOf, readBytesAt } from "../content/content.js";
import type { ContentChunk } from "../content/content-chunk.js";
import { MAX_CSV_FIELDS, MAX_ROW_BYTES } from "../limits.js";
import { refused } from "../refusals.js";
import { contentOfRow } from "../row-content.js";
import { BYTE_ORDER_MARK, isMarked, LINE_FEED, lineFeeds, rowTooLarge } from "./lines.js";
import {
  FILE_START,
  isFileStart,
  lineName,
  type BytePlace,
  type Place,
  type ReadOptions,
  type Row,
  type RowReader,
  type SourceFile,
} from "./reader.js";
import { untilFailure } from "./until-failure.js";
import { utf8 } from "./utf8.js";

interface CsvRecord {
  text: string;
  /** Its first line, from 1. */
  line: number;
  end: Place;
  readBytes: number;
}

const QUOTE = 0x22;
const CARRIAGE_RETURN = 0x0d;

export const csvReader = readerWith(",");
export const tsvReader = readerWith("\t");

function readerWith(delimiter: string): RowReader {
  return {
    async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
      const isStart = isFileStart(from);
      let header = isStart ? undefined : await headerOf(file, delimiter, signal);
      for await (const found of records(file, delimiter, from, signal)) {
        yield* untilFailure(found, ({ text, line, end, readBytes }) => {
          const where = `${file.name}:${line}`;
          const fields = fieldsOf(text, delimiter, where);
          if (header === undefined) {
            header = checkedHeader(fields, where);
            return undefined;
          }
          if (fields.length > header.length) {
            const what = `the row has ${fields.length} fields, but the header ${header.length}; quote fields with`;
            throw refused(where, `${what} ${JSON.stringify(delimiter)} or line ends in them`);
          }
          const row = Object.fromEntries(header.map((name, index) => [name, fields[index] ?? null]));
          return { content: contentOfRow(row, columns, where), line, bytes: text.length, end, readBytes };
        });
      }
    },
    rowName: lineName,
  };
}

async function headerOf(file: SourceFile, delimiter: string, signal: AbortSignal): Promise<string[] | undefined> {
  for await (const [record] of records(file, delimiter, FILE_START, signal)) {
    if (record) return checkedHeader(fieldsOf(record.text, delimiter, `${file.name}:${record.line}`), file.name);
  }
  return undefined;
}

function checkedHeader(names: string[], where: string): string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return names;
  throw refused(where, `two columns are named ${JSON.stringify(twice)}; name every column differently`);
}

/** The records from a place on. A line's end ends one unless it is within quotes. */
async function* records(
  file: SourceFile,
  delimiter: string,
  from: Place,
  signal: AbortSignal,
): AsyncGenerator<CsvRecord[]> {
  const cutter = new RecordCutter(file, delimiter, from);
  for await (const chunk of contentOf(file, from, signal)) {
    signal.throwIfAborted();
    const found = [...cutter.records(chunk)];
    if (found.length > 0) yield found;
  }
  const last = cutter.last();
  if (last) yield [last];
}

/** Where in a record its next byte is: at a field's start, within one, within its quotes, after a quote in those, or after a CR. */
type State = "start" | "field" | "quoted" | "quote" | "return";

class RecordCutter {
  readonly #file: SourceFile;
  readonly #delimiter: number;
  #line: number;
  #mayBeMarked: boolean;
  #state: State = "start";
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #end: { place: BytePlace; readBytes: number } | undefined;
  /** In these bytes, or their length; looked for once, since there may be none. */
  #nextLineFeed = -1;

  constructor(file: SourceFile, delimiter: string, from: Place) {
    this.#file = file;
    this.#delimiter = delimiter.charCodeAt(0);
    this.#line = from.line;
    this.#mayBeMarked = isFileStart(from);
  }

  *records({ bytes, at, readBytes }: ContentChunk): Generator<CsvRecord> {
    let start = 0;
    this.#nextLineFeed = -1;
    for (let found = this.#recordEnd(bytes, 0); found; found = this.#recordEnd(bytes, start)) {
      this.#keep(bytes.subarray(start, found.stop));
      start = found.next;
      const record = this.#take(advanced(this.#file, at, start), readBytes, 1);
      if (record) yield record;
    }
    this.#keep(bytes.subarray(start));
    this.#end = { place: advanced(this.#file, at, bytes.length), readBytes };
  }

  /** The last record, whose line need not end. Errors: `invalid_argument` when it ends within quotes. */
  last(): CsvRecord | undefined {
    if (this.#state === "quoted") {
      throw refused(`${this.#file.name}:${this.#line}`, "a quote is never closed; double a quote within a field");
    }
    return this.#end && this.#take(this.#end.place, this.#end.readBytes, 0);
  }

  /** Where the record ends, and where the next one begins; undefined: after these bytes. */
  #recordEnd(bytes: Buffer, from: number): { stop: number; next: number } | undefined {
    let at = from;
    // Most lines have no quote, and need no look at every byte.
    if (this.#state === "start" || this.#state === "field") {
      if (this.#nextLineFeed < from) this.#nextLineFeed = indexIn(bytes, LINE_FEED, from, bytes.length);
      at = indexIn(bytes, CARRIAGE_RETURN, from, this.#nextLineFeed);
      at = indexIn(bytes, QUOTE, from, at);
      if (at > from) this.#state = this.#after(bytes[at - 1]!, at - 1 - from);
    }
    for (; at < bytes.length; at++) {
      if (this.#state === "quoted") {
        at = bytes.indexOf(QUOTE, at);
        if (at < 0) return undefined;
        this.#state = "quote";
      } else if (bytes[at] === LINE_FEED) {
        this.#state = "start";
        return { stop: at, next: at + 1 };
      } else if (this.#state === "return") {
        this.#state = "start";
        return { stop: at, next: at };
      } else if (bytes[at] === CARRIAGE_RETURN) this.#state = "return";
      else if (bytes[at] === QUOTE && this.#state !== "field") this.#state = "quoted";
      else this.#state = this.#after(bytes[at]!, at - from);
    }
    return undefined;
  }

  /** The state after a byte outside of quotes; `index` is its place in the record, less what is kept of that. */
  #after(byte: number, index: number): State {
    if (byte === this.#delimiter) return "start";
    const mayBeMark = this.#mayBeMarked && this.#pendingBytes + index < BYTE_ORDER_MARK.length;
    return mayBeMark && byte === BYTE_ORDER_MARK[this.#pendingBytes + index] ? "start" : "field";
  }

  #keep(piece: Buffer): void {
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes > MAX_ROW_BYTES) throw rowTooLarge(`${this.#file.name}:${this.#line}: the row`);
    if (piece.length > 0) this.#pending.push(piece);
  }

  /** The record that is kept, unless it is blank. */
  #take(end: BytePlace, readBytes: number, lineFeedsAfter: number): CsvRecord | undefined {
    const whole = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    const bytes = this.#mayBeMarked && isMarked(whole) ? whole.subarray(BYTE_ORDER_MARK.length) : whole;
    this.#mayBeMarked = false;
    this.#pending = [];
    this.#pendingBytes = 0;
    const line = this.#line;
    this.#line += lineFeeds(bytes) + lineFeedsAfter;
    const text = utf8(bytes, `${this.#file.name}:${line}`);
    const record = text.endsWith("\r") ? text.slice(0, -1) : text;
    if (record === "") return undefined;
    return {
      text: record,
      line,
      end: { ...end, line: this.#line },
      readBytes: readBytesAt(this.#file, end, readBytes),
    };
  }
}

/** The first such byte in bytes[from, to), or `to`. */
function indexIn(bytes: Buffer, byte: number, from: number, to: number): number {
  const index = bytes.subarray(from, to).indexOf(byte);
  return index < 0 ? to : from + index;
}

function fieldsOf(text: string, delimiter: string, where: string): string[] {
  const fields = text.includes('"') ? quotedFields(text, delimiter) : text.split(delimiter, MAX_CSV_FIELDS + 1);
  if (fields.length > MAX_CSV_FIELDS) throw refused(where, `the row has more than ${MAX_CSV_FIELDS} fields; drop some`);
  return fields;
}

function quotedFields(text: string, delimiter: string): string[] {
  const fields: string[] = [];
  for (let at = 0; fields.length <= MAX_CSV_FIELDS;) {
    let field = "";
    if (text[at] === '"') {
      const end = closingQuote(text, at + 1);
      field = text.slice(at + 1, end).replaceAll('""', '"');
      at = end + 1;
    }
    const next = text.indexOf(delimiter, at);
    const stop = next < 0 ? text.length : next;
    fields.push(field + text.slice(at, stop));
    if (next < 0) break;
    at = stop + 1;
  }
  return fields;
}

/** Index of the quote that is not doubled; the record was cut so that there is one. */
function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at;
  }
  return text.length;
}
