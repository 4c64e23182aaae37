/**
 * The header of a GGUF file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): metadata, then where
 * each tensor is, then aligned data. Files are untrusted, so everything they claim is checked
 * before anything is allocated for it.
 */
import { GradpoolError } from "@gradpool/errors";
import { Cursor, HeaderTooShort } from "./cursor.js";
import { readMetadata, type MetadataValue } from "./metadata.js";
import { shown } from "./text.js";
import { FOREIGN_TYPES, TENSOR_TYPES, type TensorType } from "./tensor-types.js";

/** Bound on the header: a vocabulary of 250,000 tokens with its merges takes some 10 MB. */
export const MAX_GGUF_HEADER_BYTES = 128_000_000;

const MAGIC = 0x46554747;
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 1 << 20;
const MAX_TENSORS = 100_000;
const MAX_DIMENSIONS = 4;
/** Rows are read whole. */
const MAX_ROW_ELEMENTS = 1 << 24;

export interface GgufTensor {
  name: string;
  type: TensorType;
  /** Row-major, as elsewhere here: the slowest dimension first. */
  shape: number[];
  /** Byte offsets in the file. */
  begin: number;
  end: number;
  /** Place of its file among the parts of a model; none: the first. */
  part?: number;
}

export interface GgufFile {
  /** For messages. */
  path: string;
  metadata: ReadonlyMap<string, MetadataValue>;
  /** In the order of their data. */
  tensors: ReadonlyMap<string, GgufTensor>;
  /** Files that were joined to it. */
  parts?: number;
}

/** The names of all parts of the model that a file named "NAME-00002-of-00003.gguf" belongs to; undefined for others. */
export function partNames(name: string): string[] | undefined {
  const [, base, , count] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(name) ?? [];
  if (base === undefined || count === undefined) return undefined;
  const pad = (part: number) => String(part).padStart(5, "0");
  return Array.from({ length: Number(count) }, (_, i) => `${base}-${pad(i + 1)}-of-${count}.gguf`);
}

/** One file of all parts, whose first holds the metadata. Errors: `data_loss` for parts that do not belong together. */
export function joinParts(files: readonly [GgufFile, ...GgufFile[]]): GgufFile {
  const tensors = new Map<string, GgufTensor>();
  for (const [part, file] of files.entries()) {
    const [count, place] = [file.metadata.get("split.count"), file.metadata.get("split.no")];
    if (count !== files.length || place !== part) {
      throw damaged(file.path, `its metadata says part ${Number(place) + 1} of ${Number(count)}, unlike its name`);
    }
    for (const [name, tensor] of file.tensors) {
      if (tensors.has(name)) throw damaged(file.path, `tensor ${shown(name)} is in another part as well`);
      tensors.set(name, { ...tensor, part });
    }
  }
  return { ...files[0], tensors, parts: files.length };
}

export const isGguf = (first4: Uint8Array): boolean =>
  first4.byteLength >= 4 && new DataView(first4.buffer, first4.byteOffset).getUint32(0, true) === MAGIC;

/**
 * Reads a header from the file's first bytes; undefined when it continues after them. `fileBytes` is the whole
 * file's size. Errors: `data_loss` for what does not add up, `unimplemented` for versions and element
 * types that gradpool does not read, naming them.
 */
export function parseGguf(bytes: Uint8Array, fileBytes: number, path: string): GgufFile | undefined {
  const fail = (what: string) => damaged(path, what);
  try {
    const cursor = new Cursor(bytes);
    if (cursor.uint32() !== MAGIC) throw fail("it does not begin with GGUF");
    const version = cursor.uint32();
    const order = version > 0 && version % 2 ** 24 === 0 ? ", which is big-endian" : "";
    if (version < 2 || version > 3) throw unsupported(path, `version ${version} of the format${order}`);
    const tensorCount = cursor.uint64();
    if (tensorCount > MAX_TENSORS) throw fail(`it claims ${tensorCount} tensors`);
    const metadata = readMetadata(cursor, cursor.uint64(), fail);
    const infos = Array.from({ length: tensorCount }, () => readTensorInfo(cursor, path));
    const alignment = alignmentOf(metadata, fail);
    const dataBegin = Math.ceil(cursor.at / alignment) * alignment;
    return { path, metadata, tensors: place(infos, dataBegin, alignment, fileBytes, fail) };
  } catch (error) {
    if (!(error instanceof HeaderTooShort)) throw error;
    if (bytes.byteLength >= Math.min(fileBytes, MAX_GGUF_HEADER_BYTES)) throw fail("its header is truncated");
    return undefined;
  }
}

interface TensorInfo {
  name: string;
  type: TensorType;
  shape: number[];
  offset: number;
  sizeBytes: number;
}

function readTensorInfo(cursor: Cursor, path: string): TensorInfo {
  const name = cursor.text();
  const fail = (what: string) => damaged(path, `tensor ${shown(name)} ${what}`);
  const dimensions = cursor.uint32();
  if (dimensions > MAX_DIMENSIONS) throw fail(`has ${dimensions} dimensions`);
  const shape = Array.from({ length: dimensions }, () => cursor.uint64()).reverse();
  const number = cursor.uint32();
  const offset = cursor.uint64();
  const type = TENSOR_TYPES.get(number);
  if (!type) {
    const foreign = FOREIGN_TYPES.get(number);
    if (foreign === undefined) throw fail(`has the unknown type ${number}`);
    const known = [...TENSOR_TYPES.values()].map(({ name }) => name).join(", ");
    throw unsupported(path, `the type ${foreign} of tensor ${shown(name)}`, `one of ${known}`);
  }
  const rowElements = shape.at(-1) ?? 1;
  if (rowElements > MAX_ROW_ELEMENTS) throw fail(`has rows of ${rowElements} elements`);
  if (rowElements % type.blockElements !== 0) {
    throw fail(`has rows of ${rowElements} elements, not a multiple of ${type.name}'s ${type.blockElements}`);
  }
  let sizeBytes = (rowElements / type.blockElements) * type.blockBytes;
  for (const size of shape.slice(0, -1)) sizeBytes *= size;
  if (!Number.isSafeInteger(sizeBytes) || !shape.every(Number.isSafeInteger)) {
    throw fail(`has a shape too large for any file: [${shape.join(", ")}]`);
  }
  return { name, type, shape, offset, sizeBytes };
}

function place(
  infos: TensorInfo[],
  dataBegin: number,
  alignment: number,
  fileBytes: number,
  fail: (what: string) => GradpoolError,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  let filled = 0;
  for (const { name, type, shape, offset, sizeBytes } of infos.sort((a, b) => a.offset - b.offset)) {
    if (tensors.has(name)) throw fail(`it has the tensor ${shown(name)} twice`);
    if (offset % alignment !== 0) throw fail(`tensor ${shown(name)} is not aligned to ${alignment} bytes`);
    if (offset < filled) throw fail(`tensor ${shown(name)} overlaps the one before it`);
    filled = offset + sizeBytes;
    if (dataBegin + filled > fileBytes) throw fail(`tensor ${shown(name)} is beyond the end of the file`);
    tensors.set(name, { name, type, shape, begin: dataBegin + offset, end: dataBegin + filled });
  }
  return tensors;
}

function alignmentOf(metadata: GgufFile["metadata"], fail: (what: string) => GradpoolError): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  const isSound = typeof alignment === "number" && alignment >= 1 && alignment <= MAX_ALIGNMENT;
  if (!isSound || !Number.isInteger(Math.log2(alignment))) throw fail(`its general.alignment is not a power of two`);
  return alignment;
}

export function damaged(path: string, what: string): GradpoolError {
  return new GradpoolError("data_loss", `${path} is damaged: ${what}; download it again`);
}

function unsupported(path: string, what: string, instead = "another file of the model"): GradpoolError {
  return new GradpoolError("unimplemented", `${path}: gradpool does not read ${what}; use ${instead}`);
}
