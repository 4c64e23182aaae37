import { open, type FileHandle } from "node:fs/promises";
import { GradpoolError } from "@gradpool/errors";

/** One file of a data set, as it was when the data set was opened. */
export interface SourceFile {
  /** As the user knows it: the source, or a path that begins with it. */
  name: string;
  /** Where it lies; empty for built-in data. */
  path: string;
  sizeBytes: number;
  mtimeNs: bigint;
  reader: RowReader;
}

/** A place in a file. */
export interface Place {
  byteOffset: number;
  /** From 1, for messages. */
  line: number;
}

export const FILE_START: Place = { byteOffset: 0, line: 1 };

/** A text and where it lies: reading from `end` goes on with the row behind it. */
export interface Row {
  text: string;
  start: Place;
  end: Place;
}

export interface ReadOptions {
  /** Column of the text in structured files. */
  textColumn: string;
  /** Byte offset behind the last row wanted; by default the file's end. */
  until?: number;
  signal: AbortSignal;
}

/** Reads the rows of one kind of file. */
export interface RowReader {
  /**
   * The rows from `from` on, a few at a time, in constant memory. `from` is the start of the file, or
   * the start or the end of a row. Errors: `invalid_argument`, naming file and line, for a row that
   * has no text.
   */
  rows(file: OpenFile, from: Place, options: ReadOptions): AsyncIterable<Row[]>;
}

/** An open source file. */
export class OpenFile implements AsyncDisposable {
  readonly source: SourceFile;
  readonly #handle: FileHandle | undefined;

  private constructor(source: SourceFile, handle: FileHandle | undefined) {
    this.source = source;
    this.#handle = handle;
  }

  /**
   * Errors: `failed_precondition` when the file is gone or not as it was when the data set was opened,
   * `permission_denied` when it cannot be read.
   */
  static async open(source: SourceFile): Promise<OpenFile> {
    if (source.path === "") return new OpenFile(source, undefined);
    const handle = await open(source.path, "r").catch((error: unknown) => {
      throw isMissing(error) ? changed(source) : unreadable(source.name, error);
    });
    const file = new OpenFile(source, handle);
    try {
      await file.checkUnchanged();
      return file;
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Errors: `failed_precondition` when the file is not as it was when the data set was opened. */
  async checkUnchanged(): Promise<void> {
    const now = await this.#handle?.stat({ bigint: true });
    if (!now) return;
    const { sizeBytes, mtimeNs } = this.source;
    if (Number(now.size) !== sizeBytes || now.mtimeNs !== mtimeNs) throw changed(this.source);
  }

  /** Fills `buffer` from `byteOffset` on; fewer bytes only at the file's end. Returns how many. */
  async read(buffer: Buffer, byteOffset: number): Promise<number> {
    let filled = 0;
    while (this.#handle !== undefined && filled < buffer.length) {
      const { bytesRead } = await this.#handle.read(buffer, filled, buffer.length - filled, byteOffset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle?.close();
  }
}

function changed({ name }: SourceFile): GradpoolError {
  const advice = "put it back as it was, or start a new run";
  return new GradpoolError("failed_precondition", `${name} changed while the data set was in use; ${advice}`);
}

/** Whether a failed file operation means that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

export function unreadable(path: string, error: unknown): GradpoolError {
  const reason = error instanceof Error ? error.message : String(error);
  return new GradpoolError("permission_denied", `cannot read ${path}: ${reason}`, { cause: error });
}
