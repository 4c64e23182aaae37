/** The typed key-value pairs of a GGUF header. */
import type { GradpoolError } from "@gradpool/errors";
import { type Cursor, HeaderTooShort } from "./cursor.js";
import { shown } from "./text.js";

const MAX_PAIRS = 100_000;
const MAX_STRINGS = 4_000_000;
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

interface NumberType {
  bytes: number;
  read: (view: DataView, at: number) => number;
}

/** By their number in files. Integers beyond 2^53 come out rounded, and so not as safe integers. */
const NUMBER_TYPES: ReadonlyMap<number, NumberType> = new Map([
  [0, { bytes: 1, read: (view, at) => view.getUint8(at) }],
  [1, { bytes: 1, read: (view, at) => view.getInt8(at) }],
  [2, { bytes: 2, read: (view, at) => view.getUint16(at, true) }],
  [3, { bytes: 2, read: (view, at) => view.getInt16(at, true) }],
  [4, { bytes: 4, read: (view, at) => view.getUint32(at, true) }],
  [5, { bytes: 4, read: (view, at) => view.getInt32(at, true) }],
  [6, { bytes: 4, read: (view, at) => view.getFloat32(at, true) }],
  [BOOL, { bytes: 1, read: (view, at) => view.getUint8(at) }],
  [10, { bytes: 8, read: (view, at) => Number(view.getBigUint64(at, true)) }],
  [11, { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
  [12, { bytes: 8, read: (view, at) => view.getFloat64(at, true) }],
]);

/** Numbers left as the file's bytes: an array may claim millions of them. */
export class NumberArray {
  readonly #view: DataView;

  constructor(
    private readonly type: NumberType,
    bytes: Uint8Array,
    readonly length: number,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  at(index: number): number | undefined {
    return index < this.length ? this.type.read(this.#view, index * this.type.bytes) : undefined;
  }
}

export type MetadataValue = string | number | boolean | readonly string[] | NumberArray;

/** Errors: those of `fail`, for invalid metadata. */
export function readMetadata(
  cursor: Cursor,
  count: number,
  fail: (what: string) => GradpoolError,
): Map<string, MetadataValue> {
  if (count > MAX_PAIRS) throw fail(`it claims ${count} pairs of metadata`);
  const metadata = new Map<string, MetadataValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.text();
    if (metadata.has(key)) throw fail(`its metadata has ${shown(key)} twice`);
    metadata.set(key, readValue(cursor, cursor.uint32(), key, fail));
  }
  return metadata;
}

function readValue(cursor: Cursor, type: number, key: string, fail: (what: string) => GradpoolError): MetadataValue {
  if (type === STRING) return cursor.text();
  if (type === ARRAY) return readArray(cursor, key, fail);
  const value = readNumbers(cursor, type, 1)?.at(0);
  if (value === undefined) throw fail(`its metadata ${shown(key)} is of the unknown type ${type}`);
  return type === BOOL ? value !== 0 : value;
}

/** Arrays of arrays are allowed by the format, but unused. */
function readArray(cursor: Cursor, key: string, fail: (what: string) => GradpoolError): MetadataValue {
  const type = cursor.uint32();
  const length = cursor.uint64();
  if (type === STRING) {
    if (length > MAX_STRINGS) throw fail(`its metadata ${shown(key)} claims ${length} texts`);
    return Array.from({ length }, () => cursor.text());
  }
  const numbers = readNumbers(cursor, type, length);
  if (!numbers) throw fail(`its metadata ${shown(key)} is an array of the unknown type ${type}`);
  return numbers;
}

function readNumbers(cursor: Cursor, type: number, length: number): NumberArray | undefined {
  const numberType = NUMBER_TYPES.get(type);
  if (!numberType) return undefined;
  if (!(length <= cursor.left / numberType.bytes)) throw new HeaderTooShort();
  return new NumberArray(numberType, cursor.slice(length * numberType.bytes), length);
}
