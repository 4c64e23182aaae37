/**
 * Parquet by row groups: of each, only the wanted columns are read, and are in memory together. hyparquet
 * decodes; a file's claims about itself are bounded here first.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type AsyncBuffer,
  type FileMetaData,
  type RowGroup,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { damaged } from "../content/expansion.js";
import { MAX_PARQUET_GROUP_BYTES, MAX_PARQUET_GROUP_ROWS, MAX_PARQUET_METADATA_BYTES } from "../limits.js";
import { refused } from "../refusals.js";
import { columnNames, contentBytes, contentOfRow, optionalColumns } from "../row-content.js";
import { listRepairs } from "./parquet-lists.js";
import { checkPages } from "./parquet-pages.js";
import { FILE_START, type Place, type ReadOptions, type Row, type RowReader, type SourceFile } from "./reader.js";
import { untilFailure } from "./until-failure.js";

/** Text as it was written: a byte order mark is part of it. What is not UTF-8 fails, as in pyarrow. */
const TEXT = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });
const PARSERS = { stringFromBytes: (bytes: Uint8Array | undefined) => bytes && TEXT.decode(bytes) };

/** Rows that are passed on together. */
const ROWS_AT_A_TIME = 256;

/** The footer's length and the magic after it. */
const TAIL_BYTES = 8;
const MAGIC = "PAR1";

/** A place's line is the number of the next row, from 1; its byte offset only shows progress. */
export const parquetReader: RowReader = {
  async *rows(file: SourceFile, from: Place, { columns, signal }: ReadOptions): AsyncGenerator<Row[]> {
    const buffer = bufferOf(file, signal);
    const metadata = await readMetadata(file, buffer);
    const schema = await decoded(file, async () => parquetSchema(metadata));
    const required = columnNames(columns);
    const present = schema.children.map(({ element }) => element.name);
    const wanted = [...required, ...optionalColumns(columns).filter((name) => present.includes(name))];
    const repairs = [...listRepairs(schema)].filter(([name]) => wanted.includes(name));
    let first = 0;
    for (const group of metadata.row_groups) {
      const count = rowsOf(file, group);
      const skip = Math.max(0, from.line - FILE_START.line - first);
      if (skip < count) {
        signal.throwIfAborted();
        checkColumns(file, present, required);
        const chunks = await readChunks(file, buffer, group, wanted);
        const readBytes = Math.max(...chunks.map(({ start, bytes }) => start + bytes.byteLength));
        const range = { metadata, columns: wanted, rowStart: first + skip, rowEnd: first + count };
        const options = { file: withChunks(buffer, chunks), compressors, parsers: PARSERS, ...range };
        const rows = await decoded(file, () => parquetReadObjects(options));
        if (rows.length !== count - skip) throw damaged(file.name, "a row group has fewer rows than it says");
        for (let at = 0; at < rows.length; at += ROWS_AT_A_TIME) {
          const numbered = rows.slice(at, at + ROWS_AT_A_TIME).map((row, index) => ({
            row,
            number: FILE_START.line + first + skip + at + index,
          }));
          yield* untilFailure(numbered, ({ row, number }) => {
            for (const [name, repair] of repairs) row[name] = repair(row[name]);
            const content = contentOfRow(row, columns, rowName(file.name, number));
            const end = { byteOffset: readBytes, innerOffset: 0, line: number + 1 };
            return { content, line: number, bytes: contentBytes(content), end, readBytes };
          });
        }
      }
      first += count;
    }
  },
  rowName,
};

function rowName(fileName: string, number: number): string {
  return `${fileName}: row ${number}`;
}

function bufferOf({ name, source }: SourceFile, signal: AbortSignal): AsyncBuffer {
  const { sizeBytes } = source;
  if (sizeBytes === undefined) {
    throw new GradpoolError(
      "failed_precondition",
      `${name} has an unknown size, which parquet does not allow; download it`,
    );
  }
  return {
    byteLength: sizeBytes,
    async slice(start, end = sizeBytes) {
      if (!(start >= 0 && end >= start && end <= sizeBytes)) throw damaged(name, "it points outside of the file");
      const bytes = new Uint8Array(end - start);
      let filled = 0;
      for await (const piece of source.read({ start, end, signal })) {
        bytes.set(piece, filled);
        filled += piece.length;
      }
      if (filled < bytes.length) throw damaged(name, "it is truncated");
      return bytes.buffer;
    },
  };
}

async function readMetadata(file: SourceFile, buffer: AsyncBuffer): Promise<FileMetaData> {
  if (buffer.byteLength < TAIL_BYTES) throw damaged(file.name, "it is too short for a parquet file");
  const tail = Buffer.from(await buffer.slice(buffer.byteLength - TAIL_BYTES));
  if (tail.toString("latin1", 4) !== MAGIC) throw damaged(file.name, "it does not end like a parquet file");
  const metadataBytes = tail.readUInt32LE(0);
  if (metadataBytes > MAX_PARQUET_METADATA_BYTES) {
    const limit = `${MAX_PARQUET_METADATA_BYTES / 1024 / 1024} MiB`;
    throw refused(
      file.name,
      `its parquet footer has ${metadataBytes} bytes, more than ${limit}; write fewer row groups`,
    );
  }
  const metadata = await decoded(file, () => parquetMetadataAsync(buffer, { geoparquet: false }));
  if (!Array.isArray(metadata.row_groups)) throw damaged(file.name, "its footer lists no row groups");
  return metadata;
}

function rowsOf({ name }: SourceFile, { num_rows: rows }: RowGroup): number {
  const count = Number(rows);
  if (!(count >= 0 && count <= MAX_PARQUET_GROUP_ROWS)) {
    throw refused(
      name,
      `a row group claims ${count} rows, more than ${MAX_PARQUET_GROUP_ROWS}; write smaller row groups`,
    );
  }
  return count;
}

function checkColumns({ name }: SourceFile, present: readonly string[], wanted: readonly string[]): void {
  // As for a row of any other format, with its columns named.
  const row = Object.fromEntries(present.map((column) => [column, ""]));
  for (const text of wanted) contentOfRow(row, { kind: "text", text }, name);
}

interface Chunk {
  start: number;
  bytes: ArrayBuffer;
}

/** A group's wanted columns as they are in the file, once it is certain that they can be decoded in bounded memory. */
async function readChunks(
  { name }: SourceFile,
  buffer: AsyncBuffer,
  group: RowGroup,
  wanted: readonly string[],
): Promise<Chunk[]> {
  let memoryBytes = 0;
  const chunks: Chunk[] = [];
  for (const { meta_data: column } of group.columns) {
    if (column === undefined) throw damaged(name, "one of its columns is in another file");
    if (!wanted.includes(column.path_in_schema[0] ?? "")) continue;
    const start = Number(column.dictionary_page_offset || column.data_page_offset);
    const compressedBytes = Number(column.total_compressed_size);
    memoryBytes += compressedBytes + Number(column.total_uncompressed_size);
    if (!(memoryBytes <= MAX_PARQUET_GROUP_BYTES)) {
      const limit = `${MAX_PARQUET_GROUP_BYTES / 1024 / 1024} MiB`;
      throw refused(
        name,
        `a row group takes ${memoryBytes} bytes of memory, more than ${limit}; write smaller row groups`,
      );
    }
    const bytes = await buffer.slice(start, start + compressedBytes);
    checkPages(name, Buffer.from(bytes));
    chunks.push({ start, bytes });
  }
  if (chunks.length === 0) throw damaged(name, "a row group lacks a column of its schema");
  return chunks;
}

/** A buffer with some of its bytes in memory. */
function withChunks(buffer: AsyncBuffer, chunks: readonly Chunk[]): AsyncBuffer {
  return {
    byteLength: buffer.byteLength,
    slice(from, to = buffer.byteLength) {
      const chunk = chunks.find(({ start, bytes }) => start <= from && to <= start + bytes.byteLength);
      if (chunk === undefined) return buffer.slice(from, to);
      const isWhole = to - from === chunk.bytes.byteLength;
      return isWhole ? chunk.bytes : chunk.bytes.slice(from - chunk.start, to - chunk.start);
    },
  };
}

/** What hyparquet throws at bytes it cannot make sense of, as one kind of error. */
async function decoded<T>(file: SourceFile, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof GradpoolError || (error instanceof Error && error.name === "AbortError")) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw damaged(file.name, `its parquet data cannot be decoded (${reason})`, error);
  }
}
