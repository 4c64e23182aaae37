/** The tensors of an unpickled dict, wherever the file keeps their storages. */
import { GradpoolError } from "@gradpool/errors";
import { DTYPE_BYTES, tensorBytes, type TensorEntry } from "@gradpool/safetensors";
import { kindOf, type PickleValue, type Storage, TorchTensor } from "./pickle-values.js";
import { damaged, type RandomAccess, shown } from "./random-access.js";

/** Byte offset of a storage's first element. Errors: `data_loss` for one that is not there or of another size. */
export type FindStorage = (storage: Storage) => Promise<number> | number;

/** Errors: `failed_precondition` for what is no plain dict of tensors stored row by row, `data_loss` for impossible ones. */
export async function tensorsOf(
  file: RandomAccess,
  stateDict: PickleValue,
  find: FindStorage,
): Promise<Map<string, TensorEntry>> {
  if (!(stateDict instanceof Map)) throw refuse(file, `it holds ${kindOf(stateDict)} instead of a dict of tensors`);
  const tensors = new Map<string, TensorEntry>();
  for (const [name, tensor] of stateDict) {
    if (typeof name !== "string") throw refuse(file, `its dict has ${kindOf(name)} as a key`);
    if (!(tensor instanceof TorchTensor)) {
      throw refuse(file, `its entry ${shown(name)} is ${kindOf(tensor)}, not a tensor`);
    }
    tensors.set(name, await locate(file, find, name, tensor));
  }
  return tensors;
}

async function locate(file: RandomAccess, find: FindStorage, name: string, tensor: TorchTensor): Promise<TensorEntry> {
  const { storage, offset, shape } = tensor;
  const bytes = tensorBytes(storage.dtype, shape);
  if (bytes === undefined) throw damaged(file.path, `tensor ${shown(name)} has a shape too large for any file`);
  const size = DTYPE_BYTES[storage.dtype];
  if (offset + bytes / size > storage.size)
    throw damaged(file.path, `tensor ${shown(name)} reaches beyond its storage`);
  if (!isContiguous(tensor)) {
    throw refuse(file, `tensor ${shown(name)} is stored with strides (${tensor.strides.join(", ")}), not row by row`);
  }
  const begin = (await find(storage)) + offset * size;
  return { name, dtype: storage.dtype, shape: [...shape], begin, end: begin + bytes };
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
  const message = `${file.path}: ${what}; use a file of nothing but tensors, best model.safetensors`;
  return new GradpoolError("failed_precondition", message);
}
