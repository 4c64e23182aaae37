import { DTYPE_RANK, type Dtype } from "./dtype.js";
import { LENGTH_BYTES, MAX_HEADER_BYTES, parseHeader, tensorBytes, UNNAMED_FILE } from "./header.js";
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

/** All tensors of a file held in memory; their data are views of `file`. Errors: as for parseHeader. */
export function readSafetensors(
  file: Uint8Array,
  name = UNNAMED_FILE,
): { tensors: Map<string, Tensor>; metadata: Record<string, string> } {
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
  const ordered = [...tensors].map(([name, tensor]) => ({ name, ...asBytes(tensor) }));
  ordered.sort((a, b) => rankOf(a.dtype) - rankOf(b.dtype) || compareCodePoints(a.name, b.name));

  const entries: [string, unknown][] = [];
  const metadataKeys = Object.keys(metadata).sort(compareCodePoints);
  if (metadataKeys.length > 0) {
    entries.push(["__metadata__", jsonObject(metadataKeys.map((key) => [key, JSON.stringify(metadata[key])]))]);
  }
  let dataBytes = 0;
  for (const { name, dtype, shape, data } of ordered) {
    if (name === "__metadata__") throw new Error("a tensor cannot be named __metadata__");
    const expected = tensorBytes(dtype, shape);
    if (expected !== data.byteLength) {
      throw new Error(`tensor ${shown(name)}: ${dtype} [${shape.join(", ")}] does not take ${data.byteLength} bytes`);
    }
    const offsets = [dataBytes, (dataBytes += data.byteLength)];
    entries.push([name, JSON.stringify({ dtype, shape, data_offsets: offsets })]);
  }

  const json = new TextEncoder().encode(jsonObject(entries));
  const jsonBytes = Math.ceil(json.byteLength / 8) * 8;
  if (jsonBytes > MAX_HEADER_BYTES) throw new Error(`a header of ${jsonBytes} bytes is more than any reader takes`);
  const file = new Uint8Array(LENGTH_BYTES + jsonBytes + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(jsonBytes), true);
  file.fill(0x20, LENGTH_BYTES, LENGTH_BYTES + jsonBytes);
  file.set(json, LENGTH_BYTES);
  let at = LENGTH_BYTES + jsonBytes;
  for (const { data } of ordered) {
    file.set(data, at);
    at += data.byteLength;
  }
  return file;
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
