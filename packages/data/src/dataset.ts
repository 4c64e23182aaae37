import { createHash } from "node:crypto";
import { FILE_START, OpenFile, type Place, type ReadOptions, type Row, type SourceFile } from "./readers/reader.js";
import { resolveSources } from "./sources.js";

/** A place in a data set. */
export interface DatasetPlace extends Place {
  /** Index of the file. */
  file: number;
}

/** A row and the file it lies in. */
export interface DatasetRow extends Row {
  file: number;
}

export const DATASET_START: DatasetPlace = { file: 0, ...FILE_START };

/** The files of a data set, in order, as they were when it was opened. Holds no file open. */
export class Dataset {
  readonly files: readonly SourceFile[];
  readonly bytesTotal: number;
  /** SHA-256 (hex) over the files' names, sizes and modification times. */
  readonly hash: string;
  /** Bytes in all files before each. */
  readonly #bytesBefore: number[];

  private constructor(files: readonly SourceFile[]) {
    this.files = files;
    this.#bytesBefore = [];
    let bytes = 0;
    const hash = createHash("sha256");
    for (const { name, sizeBytes, mtimeNs } of files) {
      this.#bytesBefore.push(bytes);
      bytes += sizeBytes;
      hash.update(`${JSON.stringify([name, sizeBytes, mtimeNs.toString()])}\n`);
    }
    this.bytesTotal = bytes;
    this.hash = hash.digest("hex");
  }

  /** Errors: as resolveSources. */
  static async open(sources: readonly string[], signal: AbortSignal): Promise<Dataset> {
    return new Dataset(await resolveSources(sources, signal));
  }

  /** Bytes of all files up to a place. */
  bytesUpTo(place: DatasetPlace): number {
    return (this.#bytesBefore[place.file] ?? this.bytesTotal) + place.byteOffset;
  }

  /**
   * At most `count` rows from a place on, file after file, a few at a time. Errors: those of the readers,
   * and `failed_precondition` when a file changed since the data set was opened.
   */
  async *rows(from: DatasetPlace, count: number, options: ReadOptions): AsyncGenerator<DatasetRow[]> {
    let left = count;
    for (let file = from.file; file < this.files.length && left > 0; file++) {
      const opened = await OpenFile.open(this.files[file]!);
      try {
        const start = file === from.file ? from : FILE_START;
        for await (const rows of opened.source.reader.rows(opened, start, options)) {
          yield rows.slice(0, left).map((row) => ({ ...row, file }));
          left -= rows.length;
          if (left <= 0) break;
        }
        await opened.checkUnchanged();
      } catch (error) {
        // A row that broke because its file changed is no bad row.
        await opened.checkUnchanged();
        throw error;
      } finally {
        await opened[Symbol.asyncDispose]();
      }
    }
  }
}
