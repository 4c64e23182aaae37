/** The tensors of an unpickled dict, wherever the file keeps their storages. */
import { GradpoolError } from "@gradpool/errors";
import { DTYPE_BYTES, tensorBytes, type TensorEntry } from "@gradpool/safetensors";
import { Foreign, kindOf, type PickleValue, type Storage, TorchTensor } from "./pickle-values.js";
import { damaged, type RandomAccess, shown } from "./random-access.js";

/** Byte offset of a storage's first element. Errors: `data_loss` for one that is not there or of another size. */
export type FindStorage = (storage: Storage) => Promise<number> | number;

/** A tensor that is not stored row by row: strides in elements, `begin` and `end` of the bytes that it views. */
export interface StridedEntry extends TensorEntry {
  strides: readonly number[];
}

export interface FoundTensors {
  tensors: Map<string, TensorEntry>;
  strided: Map<string, StridedEntry>;
  /** Why other entries are not readable tensors. */
  unreadable: Map<string, GradpoolError>;
}

export interface TorchFile extends FoundTensors {
  /** What the file says about its tensors, with their CRC-32 where it has them: what identifies it. */
  fingerprint: Uint8Array;
}

/**
 * Errors: `failed_precondition` for what is not a dict, and for one that holds no tensor which can be read as it is stored,
 * with the first reason; `data_loss` for impossible ones.
 */
export async function tensorsOf(file: RandomAccess, stateDict: PickleValue, find: FindStorage): Promise<FoundTensors> {
  if (!(stateDict instanceof Map)) throw refuse(file, `it holds ${kindOf(stateDict)} instead of a dict of tensors`);
  const found: FoundTensors = { tensors: new Map(), strided: new Map(), unreadable: new Map() };
  const reasons: GradpoolError[] = [];
  for (const [name, tensor] of stateDict) {
    if (typeof name !== "string") throw refuse(file, `its dict has ${kindOf(name)} as a key`);
    if (tensor instanceof TorchTensor) {
      const entry = await locate(file, find, name, tensor);
      if ("strides" in entry) found.strided.set(name, entry);
      else found.tensors.set(name, entry);
      continue;
    }
    const what = tensor instanceof Foreign ? `is of the kind ${tensor.name}` : `is ${kindOf(tensor)}, not a tensor`;
    const reason = refuse(file, `its entry ${shown(name)} ${what}`);
    found.unreadable.set(name, reason);
    reasons.push(reason);
  }
  const [first] = reasons;
  if (first && found.tensors.size + found.strided.size === 0) throw first;
  return found;
}

async function locate(
  file: RandomAccess,
  find: FindStorage,
  name: string,
  tensor: TorchTensor,
): Promise<TensorEntry | StridedEntry> {
  const { storage, offset, shape, strides } = tensor;
  const bytes = tensorBytes(storage.dtype, shape);
  if (bytes === undefined) throw damaged(file.path, `tensor ${shown(name)} has a shape too large for any file`);
  const size = DTYPE_BYTES[storage.dtype];
  // Elements from the first to the last that it views.
  const extent = shape.includes(0) ? 0 : shape.reduce((sum, length, i) => sum + (length - 1) * (strides[i] ?? 0), 1);
  if (!(offset + extent <= storage.size)) throw damaged(file.path, `tensor ${shown(name)} reaches beyond its storage`);
  const begin = (await find(storage)) + offset * size;
  const entry = { name, dtype: storage.dtype, shape: [...shape], begin, end: begin + extent * size };
  return isContiguous(tensor) ? entry : { ...entry, strides };
}

/** As torch's is_contiguous: strides of dimensions with one element do not matter, nor any without elements. */
function isContiguous({ shape, strides }: TorchTensor): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    if (size === 1) continue;
    if (strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

export function refuse(file: RandomAccess, what: string): GradpoolError {
  const message = `${file.path}: ${what}; use a file with only tensors, preferably model.safetensors`;
  return new GradpoolError("failed_precondition", message);
}
