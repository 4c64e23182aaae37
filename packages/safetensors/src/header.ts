/**
 * The header of a safetensors file (https://github.com/huggingface/safetensors#format): 8 bytes of
 * length, little-endian, then JSON, then the tensors' bytes without gaps or overlaps. Files come
 * from anywhere, so everything they claim is checked before anything is allocated for it.
 */
import { GradpoolError } from "@gradpool/errors";
import { DTYPE_BYTES, FOREIGN_DTYPES, isDtype, type Dtype } from "./dtype.js";
import { parseHeaderJson, shown, type RawEntry } from "./header-json.js";

/** Bytes before the JSON. */
export const LENGTH_BYTES = 8;

/** Bound on the JSON's bytes, that of Hugging Face's reader. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Where a tensor is; `begin` and `end` are byte offsets from the start of the file. */
export interface TensorEntry {
  name: string;
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

export interface SafetensorsHeader {
  /** In the order of the header's JSON. */
  tensors: Map<string, TensorEntry>;
  /** Those of element types that gradpool does not read, and why; none but where they are let pass. */
  foreign: Map<string, GradpoolError>;
  metadata: Record<string, string>;
  /** Length field and JSON together: where the tensors' bytes begin. */
  headerBytes: number;
}

/** What the messages call a file whose name the caller does not give. */
export const UNNAMED_FILE = "the safetensors file";

/**
 * Bytes of the JSON, from the file's first 8 bytes. Errors: `data_loss` when they are fewer, or say
 * more than MAX_HEADER_BYTES.
 */
export function headerLength(first8: Uint8Array, file = UNNAMED_FILE): number {
  if (first8.byteLength < LENGTH_BYTES) throw damaged(file, `it has only ${first8.byteLength} bytes`);
  const length = new DataView(first8.buffer, first8.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw damaged(file, `its header claims ${length} bytes, more than the ${MAX_HEADER_BYTES} that are allowed`);
  }
  return Number(length);
}

/**
 * Reads and checks a header. `headerBytes` holds length field and JSON, `fileBytes` is the whole
 * file's size. Errors: `data_loss` naming the tensor, for anything that does not add up exactly;
 * `unimplemented` for an element type that gradpool does not read.
 */
export function parseHeader(
  headerBytes: Uint8Array,
  fileBytes: number,
  file = UNNAMED_FILE,
  { passForeign = false } = {},
): SafetensorsHeader {
  const fail = (what: string) => damaged(file, what);
  const length = headerLength(headerBytes, file);
  const dataBegin = LENGTH_BYTES + length;
  if (dataBegin > fileBytes || dataBegin > headerBytes.byteLength) {
    const has = Math.min(fileBytes, headerBytes.byteLength);
    throw fail(`its header claims ${length} bytes, but the file has ${has} in all`);
  }
  const raw = parseHeaderJson(decodeUtf8(headerBytes.subarray(LENGTH_BYTES, dataBegin), fail), fail);
  const tensors = new Map<string, TensorEntry>();
  const foreign = new Map<string, GradpoolError>();
  const places: Place[] = [];
  for (const [name, entry] of raw.tensors) {
    const place = checkPlace(name, entry, dataBegin, fileBytes, file);
    places.push(place);
    if (isDtype(entry.dtype)) tensors.set(name, checkSize(place, entry.dtype, entry.shape, file));
    else foreign.set(name, foreignDtype(name, entry, file));
  }
  checkLayout(places, dataBegin, fileBytes, fail);
  const [reason] = foreign.values();
  if (reason && !passForeign) throw reason;
  return { tensors, foreign, metadata: raw.metadata, headerBytes: dataBegin };
}

type Place = Pick<TensorEntry, "name" | "begin" | "end">;

function checkPlace(name: string, raw: RawEntry, dataBegin: number, fileBytes: number, file: string): Place {
  const fail = (what: string) => damaged(file, `tensor ${shown(name)} ${what}`);
  if (!isDtype(raw.dtype) && !FOREIGN_DTYPES.has(raw.dtype)) throw fail(`has the unknown dtype ${shown(raw.dtype)}`);
  const [begin, end] = raw.dataOffsets;
  if (begin === undefined || end === undefined || raw.dataOffsets.length > 2) {
    throw fail(`has ${raw.dataOffsets.length} data_offsets instead of 2`);
  }
  if (begin > end) throw fail(`ends before it begins (data_offsets ${begin}, ${end})`);
  if (end > fileBytes - dataBegin) {
    throw fail(`is beyond the end of the file (byte ${end} of ${fileBytes - dataBegin})`);
  }
  return { name, begin: dataBegin + begin, end: dataBegin + end };
}

function checkSize(place: Place, dtype: Dtype, shape: number[], file: string): TensorEntry {
  const fail = (what: string) => damaged(file, `tensor ${shown(place.name)} ${what}`);
  const bytes = tensorBytes(dtype, shape);
  if (bytes === undefined) throw fail(`has a shape too large for any file: ${dtype} [${shape.join(", ")}]`);
  const has = place.end - place.begin;
  if (bytes !== has) throw fail(`has ${has} bytes, but ${dtype} [${shape.join(", ")}] takes ${bytes}`);
  return { ...place, dtype, shape };
}

function foreignDtype(name: string, { dtype }: RawEntry, file: string): GradpoolError {
  const what = `tensor ${shown(name)} of ${file} has dtype ${dtype}, which gradpool does not read`;
  return new GradpoolError("unimplemented", `${what}; convert it to F32, F16 or BF16`);
}

/** Tensors must fill the file's rest exactly, whatever their order in the JSON. */
function checkLayout(
  entries: Place[],
  dataBegin: number,
  fileBytes: number,
  fail: (what: string) => GradpoolError,
): void {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let filled = dataBegin;
  for (const { name, begin, end } of entries) {
    if (begin < filled) throw fail(`tensor ${shown(name)} overlaps the one before it`);
    if (begin > filled) throw fail(`there is a gap of ${begin - filled} bytes before tensor ${shown(name)}`);
    filled = end;
  }
  if (filled < fileBytes) throw fail(`${fileBytes - filled} bytes follow its last tensor`);
}

/** Bytes of a tensor; undefined when they exceed 2^53. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number | undefined {
  let bytes = DTYPE_BYTES[dtype];
  for (const size of shape) {
    bytes *= size;
    if (!Number.isSafeInteger(bytes)) return undefined;
  }
  return bytes;
}

function decodeUtf8(bytes: Uint8Array, fail: (what: string) => GradpoolError): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("its header is not valid UTF-8");
  }
}

function damaged(file: string, what: string): GradpoolError {
  return new GradpoolError("data_loss", `${file} is damaged: ${what}; download it again`);
}
