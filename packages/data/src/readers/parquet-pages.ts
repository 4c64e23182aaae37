import { parquetHeader } from "hyparquet/src/column.js";
import { damaged } from "../content/expansion.js";
import {
  MAX_PARQUET_GROUP_BYTES,
  MAX_PARQUET_GROUP_ROWS,
  MAX_PARQUET_PAGE_BYTES,
  MAX_PARQUET_PAGE_VALUES,
} from "../limits.js";
import { refused } from "../refusals.js";

/**
 * Walks the pages of a column chunk by their headers alone: a decoder allocates what they claim. Errors: `invalid_argument` for a page that is too large, `data_loss`.
 */
export function checkPages(name: string, chunk: Buffer): void {
  const reader = { view: new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength), offset: 0 };
  let values = 0;
  let bytes = 0;
  // As hyparquet: a single byte left over is not a header.
  while (reader.offset < chunk.length - 1) {
    const header = headerAt(name, reader);
    const compressed = Number(header.compressed_page_size);
    const uncompressed = Number(header.uncompressed_page_size);
    const count = header.data_page_header ?? header.data_page_header_v2 ?? header.dictionary_page_header;
    const pageValues = Number(count?.num_values ?? 0);
    if (!(compressed >= 0 && uncompressed >= 0 && pageValues >= 0) || compressed > chunk.length - reader.offset) {
      throw damaged(name, "a parquet page has an impossible size");
    }
    if (uncompressed > MAX_PARQUET_PAGE_BYTES || pageValues > MAX_PARQUET_PAGE_VALUES) {
      throw refused(
        name,
        `a parquet page of ${uncompressed} bytes and ${pageValues} values is too large; write smaller ones`,
      );
    }
    values += pageValues;
    bytes += uncompressed;
    if (bytes > MAX_PARQUET_GROUP_BYTES || values > 4 * MAX_PARQUET_GROUP_ROWS) {
      throw refused(name, "a parquet row group does not fit into memory; write smaller row groups");
    }
    reader.offset += compressed;
  }
}

function headerAt(name: string, reader: { view: DataView; offset: number }) {
  try {
    return parquetHeader(reader);
  } catch (error) {
    throw damaged(name, "a parquet page has no header", error);
  }
}
