/** Rows of a data set, and places in it. */
import type { Place, Row, SourceFile } from "./readers/reader.js";

/** A place in a sequence of files. */
export interface FilePlace extends Place {
  /** Index of the file. */
  file: number;
}

/** A place in a data set: one in each of its parts. */
export type DatasetPlace = readonly FilePlace[];

/** A row, and where the data set is after it. */
export interface DatasetRow extends Omit<Row, "end" | "readBytes"> {
  /** Where it comes from. */
  source: SourceFile;
  after: DatasetPlace;
  /** Bytes of all files read so far. */
  bytesRead: number;
}

/** Which rows, in which order: the draws of a mixture depend only on seed and row number. */
export interface RowRange {
  from: DatasetPlace;
  /** Rows of the epoch before `from`. */
  before: number;
  /** At most this many rows. */
  count: number;
  seed: number;
}

/** A row of one part. */
export interface PartRow extends Row {
  source: SourceFile;
  /** Index of that in the part. */
  file: number;
}
