import { createHash } from "node:crypto";
import { GradpoolError } from "@gradpool/errors";
import { localFile, type OpenLocal, type SourceResolver } from "./byte-source.js";
import type { DatasetPlace, DatasetRow, FilePlace, PartRow, RowRange } from "./dataset-rows.js";
import { mixed } from "./mixture.js";
import { FILE_START, isFileStart, type Place, type ReadOptions, type Row, type SourceFile } from "./readers/reader.js";
import type { RowContent } from "./row-content.js";
import { localOnly, resolveSources } from "./sources.js";

export interface DatasetOptions {
  /** A share for each source: its rows are then drawn by these instead of coming one source after the other. */
  weights?: readonly number[] | undefined;
  /** Finds sources other than this machine's files. */
  elsewhere?: SourceResolver;
  /** Opens this machine's files, as localFile does unless it is given. */
  open?: OpenLocal | undefined;
  /** Called with the name of each file that is about to be read. */
  onFile?: ((name: string) => void) | undefined;
}

/** How rows are read, and which are kept; undefined: all. */
export interface RowOptions extends ReadOptions {
  keeps?: ((content: RowContent) => boolean) | undefined;
}

/** The files of a data set, in order, as they were when it was opened. Holds no file open. */
export class Dataset {
  readonly files: readonly SourceFile[];
  /** Bytes of all files whose size is known. */
  readonly bytesTotal: number;
  /** SHA-256 (hex) over the files' names, sizes and versions, and the weights. */
  readonly hash: string;
  readonly start: DatasetPlace;
  /** Files that are read one after the other; several parts are mixed by weight. */
  readonly #parts: readonly (readonly SourceFile[])[];
  readonly #weights: readonly number[] | undefined;
  readonly #onFile: (name: string) => void;

  private constructor(sources: readonly SourceFile[][], { weights, onFile = () => {} }: DatasetOptions) {
    this.#onFile = onFile;
    this.files = sources.flat();
    this.#parts = weights ? sources : [this.files];
    this.#weights = weights;
    this.start = this.#parts.map(() => ({ file: 0, ...FILE_START }));
    this.bytesTotal = this.files.reduce((sum, { source }) => sum + (source.sizeBytes ?? 0), 0);
    const hash = createHash("sha256");
    for (const { name, source } of this.files) {
      hash.update(`${JSON.stringify([name, source.sizeBytes ?? null, source.version])}\n`);
    }
    if (weights) hash.update(JSON.stringify([weights, sources.map((files) => files.length)]));
    this.hash = hash.digest("hex");
  }

  /** Its rows are drawn from several sources, as the seed decides. */
  get isMixed(): boolean {
    return this.#weights !== undefined;
  }

  /** Errors: as resolveSources; `invalid_argument` for weights that do not fit the sources. */
  static async open(sources: readonly string[], signal: AbortSignal, options: DatasetOptions = {}): Promise<Dataset> {
    const { weights, elsewhere = localOnly, open = localFile } = options;
    if (weights) checkWeights(weights, sources);
    return new Dataset(await resolveSources(sources, elsewhere, open, signal), options);
  }

  /**
   * Rows from a place on, a few at a time: file after file, or drawn by weight until a source that is drawn has
   * no more. Errors: those of the readers and sources.
   */
  async *rows(range: RowRange, options: RowOptions): AsyncGenerator<DatasetRow[]> {
    const { from } = range;
    if (from.length !== this.#parts.length) {
      throw new GradpoolError("failed_precondition", "the cursor is for another number of sources; start a new run");
    }
    const parts = this.#parts.map((files, part) => this.#partRows(files, from[part]!, options));
    if (this.#weights) yield* mixed(parts, this.#weights, range);
    else yield* this.#inOrder(parts[0]!, range.count);
  }

  /**
   * The first rows of each file, at most `count` of each, in no order that anything trains in; where `until` is given,
   * only those that rows() gives up to that place. Errors: those of the readers and sources.
   */
  async *firstRows(
    count: number,
    until: DatasetPlace | undefined,
    options: RowOptions,
  ): AsyncGenerator<Omit<PartRow, "file">> {
    for (const [part, files] of this.#parts.entries()) {
      const last = until?.[part];
      for (const [index, source] of files.entries()) {
        if (last && (index > last.file || isFileStart(last))) break;
        let left = count;
        reading: for await (const rows of this.#keptRows(source, FILE_START, options)) {
          for (const row of rows) {
            yield { ...row, source };
            if (--left === 0 || (last?.file === index && isSamePlace(row.end, last))) break reading;
          }
        }
      }
    }
  }

  async *#inOrder(pieces: AsyncGenerator<PartRow[]>, count: number): AsyncGenerator<DatasetRow[]> {
    let left = count;
    let bytesBefore = 0;
    let current = 0;
    if (left <= 0) return;
    for await (const rows of pieces) {
      yield rows.slice(0, left).map(({ content, line, bytes, end, source, file, readBytes }) => {
        for (; current < file; current++) bytesBefore += this.files[current]!.source.sizeBytes ?? 0;
        return { content, line, bytes, source, after: [{ file, ...end }], bytesRead: bytesBefore + readBytes };
      });
      left -= rows.length;
      if (left <= 0) return;
    }
  }

  async *#partRows(files: readonly SourceFile[], from: FilePlace, options: RowOptions): AsyncGenerator<PartRow[]> {
    for (let index = from.file; index < files.length; index++) {
      const file = files[index]!;
      const start = index === from.file ? from : FILE_START;
      for await (const rows of this.#keptRows(file, start, options)) {
        yield rows.map((row) => ({ ...row, source: file, file: index }));
      }
    }
  }

  async *#keptRows(file: SourceFile, from: Place, { keeps, ...options }: RowOptions): AsyncGenerator<Row[]> {
    this.#onFile(file.name);
    for await (const rows of file.reader.rows(file, from, options)) {
      const kept = keeps ? rows.filter(({ content }) => keeps(content)) : rows;
      if (kept.length > 0) yield kept;
    }
  }
}

const isSamePlace = (one: Place, other: Place): boolean =>
  one.byteOffset === other.byteOffset && one.innerOffset === other.innerOffset && one.line === other.line;

function checkWeights(weights: readonly number[], sources: readonly string[]): void {
  const advice = "give one weight above 0 for each source, such as 0.7,0.3";
  if (weights.length !== sources.length) {
    const what = `dataset_weights has ${weights.length} weights for ${sources.length} sources`;
    throw new GradpoolError("invalid_argument", `${what}; ${advice}`);
  }
  const wrong = weights.find((weight) => !(weight > 0 && Number.isFinite(weight)));
  if (wrong !== undefined) throw new GradpoolError("invalid_argument", `dataset_weights holds ${wrong}; ${advice}`);
}
