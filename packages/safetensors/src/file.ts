import { GradpoolError } from "@gradpool/errors";
import { DTYPE_RANK, type Dtype } from "./dtype.js";
import {
  headerLength,
  LENGTH_BYTES,
  MAX_HEADER_BYTES,
  parseHeader,
  tensorBytes,
  type TensorEntry,
  UNNAMED_FILE,
} from "./header.js";
import { shown } from "./header-json.js";

/** A tensor's little-endian bytes. */
export interface Tensor {
  dtype: Dtype;
  shape: number[];
  data: Uint8Array;
}

/** A float32 tensor, row-major. */
export interface FloatTensor {
  shape: number[];
  data: Float32Array;
}

/** Bound on the header of a file in memory: adapters, gradients and optimizer states have far fewer tensors than models. */
export const MAX_SMALL_HEADER_BYTES = 8_000_000;

/**
 * All tensors of a file held in memory; their data are views of `file`. Errors: as for parseHeader; `data_loss` for a
 * header of more than MAX_SMALL_HEADER_BYTES.
 */
export function readSafetensors(
  file: Uint8Array,
  name = UNNAMED_FILE,
): { tensors: Map<string, Tensor>; metadata: Record<string, string> } {
  const headerBytes = headerLength(file, name);
  if (headerBytes > MAX_SMALL_HEADER_BYTES) {
    const problem = `${name} has a header of ${headerBytes} bytes, where ${MAX_SMALL_HEADER_BYTES} are allowed`;
    throw new GradpoolError("data_loss", `${problem}; save it again`);
  }
  const header = parseHeader(file, file.byteLength, name);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape, begin, end } of header.tensors.values()) {
    tensors.set(name, { dtype, shape, data: file.subarray(begin, end) });
  }
  return { tensors, metadata: header.metadata };
}

/**
 * The file of these tensors, byte for byte that of Hugging Face's writer: larger element types first,
 * then by name. Metadata keys are sorted, where Hugging Face's order is random for more than one.
 * A shape that does not fit its data is the caller's mistake and throws a plain error.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, Tensor | FloatTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const stored = new Map([...tensors].map(([name, tensor]) => [name, asBytes(tensor)]));
  const { header, entries, fileBytes } = layOut(stored, metadata);
  const file = new Uint8Array(fileBytes);
  file.set(header);
  for (const { name, dtype, shape, begin, end } of entries) {
    const data = stored.get(name)?.data;
    if (data?.byteLength !== end - begin) {
      const given = `${dtype} [${shape.join(", ")}] does not take ${data?.byteLength} bytes`;
      throw new Error(`tensor ${shown(name)}: ${given}`);
    }
    file.set(data, begin);
  }
  return file;
}

/** Where `writeSafetensors` puts tensors: for files too large to be held in memory. */
export function layOut(
  tensors: ReadonlyMap<string, Pick<Tensor, "dtype" | "shape">>,
  metadata: Readonly<Record<string, string>> = {},
): { header: Uint8Array<ArrayBuffer>; entries: TensorEntry[]; fileBytes: number } {
  const ordered = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  ordered.sort((a, b) => rankOf(a.dtype) - rankOf(b.dtype) || compareCodePoints(a.name, b.name));

  const members: [string, unknown][] = [];
  const metadataKeys = Object.keys(metadata).sort(compareCodePoints);
  if (metadataKeys.length > 0) {
    members.push(["__metadata__", jsonObject(metadataKeys.map((key) => [key, JSON.stringify(metadata[key])]))]);
  }
  let dataBytes = 0;
  const ends = ordered.map(({ name, dtype, shape }) => {
    if (name === "__metadata__") throw new Error("a tensor cannot be named __metadata__");
    const begin = dataBytes;
    dataBytes += tensorBytes(dtype, shape) ?? Infinity;
    if (!Number.isSafeInteger(dataBytes)) throw new Error(`tensor ${shown(name)} is too large for any file`);
    members.push([name, JSON.stringify({ dtype, shape, data_offsets: [begin, dataBytes] })]);
    return dataBytes;
  });

  const json = new TextEncoder().encode(jsonObject(members));
  const jsonBytes = Math.ceil(json.byteLength / 8) * 8;
  if (jsonBytes > MAX_HEADER_BYTES) throw new Error(`a header of ${jsonBytes} bytes is more than any reader takes`);
  const header = new Uint8Array(LENGTH_BYTES + jsonBytes).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(jsonBytes), true);
  header.set(json, LENGTH_BYTES);
  const at = header.byteLength;
  const entries = ordered.map((tensor, i) => ({ ...tensor, begin: at + (ends[i - 1] ?? 0), end: at + (ends[i] ?? 0) }));
  return { header, entries, fileBytes: at + dataBytes };
}

/** Built by hand: an object would reorder names that look like numbers, and lose "__proto__". */
function jsonObject(entries: readonly (readonly [string, unknown])[]): string {
  return `{${entries.map(([key, json]) => `${JSON.stringify(key)}:${String(json)}`).join(",")}}`;
}

function asBytes(tensor: Tensor | FloatTensor): Tensor {
  if ("dtype" in tensor) return tensor;
  const { buffer, byteOffset, byteLength } = tensor.data;
  return { dtype: "F32", shape: tensor.shape, data: new Uint8Array(buffer, byteOffset, byteLength) };
}

function rankOf(dtype: Dtype): number {
  return DTYPE_RANK.get(dtype) ?? 0;
}

/** Order of the UTF-8 bytes, which is that of code points and differs from that of UTF-16 units. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) return (a.codePointAt(i) ?? 0) - (b.codePointAt(i) ?? 0);
  }
  return a.length - b.length;
}
