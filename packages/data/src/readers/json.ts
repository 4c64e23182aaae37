/**
 * `.json`: one array of objects or of texts, or objects one after the other (JSON Lines, also pretty-printed). Values are
 * cut out of the stream one by one; the array as a whole is never in memory.
 */
import { advanced, contentOf, readBytesAt } from "../content/content.js";
import type { ContentChunk } from "../content/content-chunk.js";
import { MAX_ROW_BYTES } from "../limits.js";
import { refused } from "../refusals.js";
import { contentOfJson, nestedTooDeeply, parseRow } from "./json-row.js";
import { JsonScan } from "./json-scan.js";
import { LINE_FEED, lineFeeds, rowTooLarge } from "./lines.js";
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

interface JsonValue {
  bytes: Buffer;
  /** Of its first byte, from 1. */
  line: number;
  end: Place;
  readBytes: number;
}

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
/** Space, tab, line feed, carriage return; and a byte order mark, which is only at the start. */
const BLANKS = new Set([0x20, 0x09, 0x0a, 0x0d]);
const MARK_BYTES = new Set([0xef, 0xbb, 0xbf]);

export const jsonReader: RowReader = {
  async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
    const isStart = isFileStart(from);
    const cutter = new ValueCutter(file, from.line, isStart ? undefined : await isArray(file, signal));
    for await (const chunk of contentOf(file, from, signal)) {
      signal.throwIfAborted();
      yield* untilFailure(cutter.values(chunk), ({ bytes, line, end, readBytes }) => {
        const where = `${file.name}:${line}`;
        const row = parseRow(bytes, columns, where);
        if (row === undefined) throw notJson(where);
        const content = contentOfJson(row, cutter.inArray, columns, where);
        return { content, line, bytes: bytes.length, end, readBytes };
      });
    }
    cutter.finish();
  },
  rowName: lineName,
};

/** Whether the file's first character opens an array. */
async function isArray(file: SourceFile, signal: AbortSignal): Promise<boolean> {
  for await (const { bytes } of contentOf(file, FILE_START, signal)) {
    const first = bytes.find((byte) => !BLANKS.has(byte) && !MARK_BYTES.has(byte));
    if (first !== undefined) return first === OPEN_BRACKET;
  }
  return false;
}

/** What may come next between values; in a file of plain objects only `value` and `inside` occur. */
type Expected = "start" | "value" | "value or end" | "comma or end" | "inside" | "nothing";

class ValueCutter {
  readonly #file: SourceFile;
  #line: number;
  /** Whether the values are an array's. */
  inArray: boolean;
  #expected: Expected;
  #scan = new JsonScan();
  #pending: Buffer[] = [];
  #pendingBytes = 0;

  /** `inArray` is undefined at the file's start, which decides it. */
  constructor(file: SourceFile, line: number, inArray: boolean | undefined) {
    this.#file = file;
    this.#line = line;
    this.inArray = inArray ?? false;
    this.#expected = inArray === undefined ? "start" : inArray ? "comma or end" : "value";
  }

  *values({ bytes, at, readBytes }: ContentChunk): Generator<JsonValue> {
    for (let index = 0; index < bytes.length;) {
      if (this.#expected !== "inside") {
        index = this.#between(bytes, index);
        continue;
      }
      const end = this.#valueEnd(bytes, index);
      const piece = bytes.subarray(index, end < 0 ? bytes.length : end);
      this.#pendingBytes += piece.length;
      if (this.#pendingBytes > MAX_ROW_BYTES) throw rowTooLarge(`${this.#where()}: the row`);
      this.#pending.push(piece);
      if (end < 0) return;
      const whole = this.#pending.length === 1 ? piece : Buffer.concat(this.#pending);
      const line = this.#line;
      this.#line += lineFeeds(whole);
      const place = advanced(this.#file, at, end);
      const valueReadBytes = readBytesAt(this.#file, place, readBytes);
      yield { bytes: whole, line, end: { ...place, line: this.#line }, readBytes: valueReadBytes };
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#expected = this.inArray ? "comma or end" : "value";
      index = end;
    }
  }

  /** Errors: `invalid_argument` when a value or the array has no end. */
  finish(): void {
    const isEnd = this.#expected === "start" || this.#expected === "nothing";
    if (isEnd || (this.#expected === "value" && !this.inArray)) return;
    throw refused(this.#where(), "the JSON that begins here is truncated; close it, or download the file again");
  }

  /** Reads one byte between values; returns the index to continue at. */
  #between(bytes: Buffer, index: number): number {
    const byte = bytes[index]!;
    if (BLANKS.has(byte)) {
      if (byte === LINE_FEED) this.#line++;
      return index + 1;
    }
    const expected = this.#expected;
    if (expected === "start" && MARK_BYTES.has(byte)) return index + 1;
    const mayBegin = expected === "start" || expected === "value" || expected === "value or end";
    if (mayBegin && (byte === OPEN_BRACE || (byte === QUOTE && this.inArray))) {
      this.#expected = "inside";
      this.#scan = new JsonScan();
      return index;
    }
    if (byte === OPEN_BRACKET && expected === "start") {
      this.inArray = true;
      this.#expected = "value or end";
    } else if (byte === CLOSE_BRACKET && (expected === "comma or end" || expected === "value or end")) {
      this.#expected = "nothing";
    } else if (byte === COMMA && expected === "comma or end") {
      this.#expected = "value";
    } else {
      throw notJson(this.#where());
    }
    return index + 1;
  }

  #valueEnd(bytes: Buffer, index: number): number {
    try {
      return this.#scan.end(bytes, index);
    } catch (error) {
      if (error instanceof RangeError) throw nestedTooDeeply(this.#where());
      throw error;
    }
  }

  #where(): string {
    return `${this.#file.name}:${this.#line}`;
  }
}

function notJson(where: string) {
  return refused(where, "not JSON; the file must have one object per line, or an array of objects or texts");
}
