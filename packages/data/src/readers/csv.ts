/**
 * `.csv` and `.tsv` after RFC 4180: a header line, fields in double quotes that may hold delimiters, line
 * feeds and doubled quotes. Every value is a text, as it stands there; blank lines are skipped.
 */
import { advanced, contentOf, readBytesAt, type ContentChunk } from "../content/content.js";
import { MAX_CSV_FIELDS, MAX_ROW_BYTES } from "../limits.js";
import { contentOfRow, refused } from "../row-content.js";
import { BYTE_ORDER_MARK, isMarked, LINE_FEED, lineFeeds, rowTooLarge } from "./lines.js";
import {
  FILE_START,
  isFileStart,
  type BytePlace,
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
  const cutter = new RecordCutter(file, from);
  for await (const chunk of contentOf(file, from, signal)) {
    signal.throwIfAborted();
    const found = [...cutter.records(chunk)];
    if (found.length > 0) yield found;
  }
  const last = cutter.last();
  if (last) yield [last];
}

class RecordCutter {
  readonly #file: SourceFile;
  #line: number;
  #mayBeMarked: boolean;
  #isQuoted = false;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #end: { place: BytePlace; readBytes: number } | undefined;

  constructor(file: SourceFile, from: Place) {
    this.#file = file;
    this.#line = from.line;
    this.#mayBeMarked = isFileStart(from);
  }

  *records({ bytes, at, readBytes }: ContentChunk): Generator<CsvRecord> {
    let start = 0;
    for (let stop = this.#recordEnd(bytes, 0); stop >= 0; stop = this.#recordEnd(bytes, start)) {
      this.#keep(bytes.subarray(start, stop));
      start = stop + 1;
      const record = this.#take(advanced(this.#file, at, start), readBytes, 1);
      if (record) yield record;
    }
    this.#keep(bytes.subarray(start));
    this.#end = { place: advanced(this.#file, at, bytes.length), readBytes };
  }

  /** What no line feed ends. Errors: `invalid_argument` when it ends within quotes. */
  last(): CsvRecord | undefined {
    if (this.#isQuoted) {
      throw refused(`${this.#file.name}:${this.#line}`, "a quote is never closed; double a quote within a field");
    }
    return this.#end && this.#take(this.#end.place, this.#end.readBytes, 0);
  }

  /** The index of the line feed that ends the record, or -1. Looks at every byte once or twice, whatever they are. */
  #recordEnd(bytes: Buffer, from: number): number {
    let lineFeed = from - 1;
    for (let at = from; ;) {
      let quote: number;
      if (this.#isQuoted) {
        quote = bytes.indexOf(QUOTE, at);
        if (quote < 0) return -1;
      } else {
        if (lineFeed < at) lineFeed = indexOrEnd(bytes, LINE_FEED, at);
        quote = bytes.subarray(at, lineFeed).indexOf(QUOTE);
        if (quote < 0) return lineFeed === bytes.length ? -1 : lineFeed;
        quote += at;
      }
      this.#isQuoted = !this.#isQuoted;
      at = quote + 1;
    }
  }

  #keep(piece: Buffer): void {
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes > MAX_ROW_BYTES) throw rowTooLarge(`${this.#file.name}:${this.#line}: the row`);
    if (piece.length > 0) this.#pending.push(piece);
  }

  /** The record that is kept, unless it is blank. */
  #take(end: BytePlace, readBytes: number, lineFeedsBehind: number): CsvRecord | undefined {
    const whole = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    const bytes = this.#mayBeMarked && isMarked(whole) ? whole.subarray(BYTE_ORDER_MARK.length) : whole;
    this.#mayBeMarked = false;
    this.#pending = [];
    this.#pendingBytes = 0;
    const line = this.#line;
    this.#line += lineFeeds(bytes) + lineFeedsBehind;
    const text = bytes.toString("utf8");
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

function indexOrEnd(bytes: Buffer, byte: number, from: number): number {
  const index = bytes.indexOf(byte, from);
  return index < 0 ? bytes.length : index;
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
