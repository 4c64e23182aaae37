import type { ByteSource } from "../byte-source.js";
import type { Columns, RowContent } from "../row-content.js";

/** How a file's bytes are compressed. */
export type Codec = "none" | "gzip" | "zstd";

/** One file of a data set, and how to read it. */
export interface SourceFile {
  name: string;
  source: ByteSource;
  codec: Codec;
  reader: RowReader;
}

/** A place in the bytes of a file. */
export interface BytePlace {
  /** In the file; within compressed data, where its gzip member or zstd frame begins. */
  byteOffset: number;
  /** Bytes to leave out of what is decompressed from there; 0 in plain files. */
  innerOffset: number;
}

/** A place between two rows of a file. */
export interface Place extends BytePlace {
  /** Line of the next row, from 1; in parquet files, its number. */
  line: number;
}

export const FILE_START: Place = { byteOffset: 0, innerOffset: 0, line: 1 };

export function isFileStart({ byteOffset, innerOffset }: BytePlace): boolean {
  return byteOffset === 0 && innerOffset === 0;
}

/** A row: reading from `end` continues with the row after it. */
export interface Row {
  content: RowContent;
  /** Its first line, from 1; in parquet files, its number. */
  line: number;
  /** About how much memory it takes. */
  bytes: number;
  end: Place;
  /** Bytes of the file read so far, for progress. */
  readBytes: number;
}

export interface ReadOptions {
  columns: Columns;
  signal: AbortSignal;
}

/** Reads the rows of one kind of file. */
export interface RowReader {
  /**
   * The rows from `from` on, a few at a time, in bounded memory. `from` is the start of the file or the end
   * of a row. Errors: `invalid_argument`, naming file and line, for a row that cannot be used; `data_loss`
   * for damaged compressed data; those of the source.
   */
  rows(file: SourceFile, from: Place, options: ReadOptions): AsyncIterable<Row[]>;
  /** What messages call the row at a line of a file. */
  rowName(fileName: string, line: number): string;
}

/** The rowName of formats whose rows are lines. */
export const lineName = (fileName: string, line: number): string => `${fileName}:${line}`;
