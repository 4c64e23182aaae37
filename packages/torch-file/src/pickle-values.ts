/** What an unpickled torch file may consist of: data, and no more classes than these. */
import type { Dtype } from "@gradpool/safetensors";

/** torch's typed storages and the element types that they hold. */
export const STORAGE_DTYPES: ReadonlyMap<string, Dtype> = new Map([
  ["torch.FloatStorage", "F32"],
  ["torch.HalfStorage", "F16"],
  ["torch.BFloat16Storage", "BF16"],
  ["torch.DoubleStorage", "F64"],
  ["torch.LongStorage", "I64"],
  ["torch.IntStorage", "I32"],
  ["torch.ShortStorage", "I16"],
  ["torch.CharStorage", "I8"],
  ["torch.ByteStorage", "U8"],
  ["torch.BoolStorage", "BOOL"],
]);

export const ORDERED_DICT = "collections.OrderedDict";
export const REBUILD_TENSOR = "torch._utils._rebuild_tensor_v2";
export const REBUILD_PARAMETER = "torch._utils._rebuild_parameter";

/** A name that the pickle imports; only known ones are made. */
export class Global {
  constructor(readonly name: string) {}
}

/** What torch makes tensors of other kinds with: looked up, never called. Their values stay what they are, by name. */
export const FOREIGN: ReadonlySet<string> = new Set([
  ...["sparse_tensor", "qtensor", "tensor_v3", "nested_tensor", "meta_tensor_no_storage"].map(
    (kind) => `torch._utils._rebuild_${kind}`,
  ),
  ...["ComplexFloat", "ComplexDouble", "QInt8", "QUInt8", "QInt32"].map((type) => `torch.${type}Storage`),
  ...["storage.UntypedStorage", "serialization._get_layout", "Size", "device"].map((name) => `torch.${name}`),
  ...["per_tensor_affine", "per_channel_affine", "uint16", "uint32", "uint64"].map((name) => `torch.${name}`),
  ...["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"].map(
    (name) => `torch.${name}`,
  ),
  ...["float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool"].map((name) => `torch.${name}`),
  ...["int8", "int16", "int32", "int64", "uint8"].map((name) => `torch.${name}`),
]);

/** A tensor, storage or setting of such a kind. */
export class Foreign {
  constructor(readonly name: string) {}
}

/** The elements that tensors view: an entry data/KEY of the archive. */
export class Storage {
  constructor(
    readonly key: string,
    readonly dtype: Dtype,
    /** Elements. */
    readonly size: number,
  ) {}
}

/** A view of a storage; offset, shape and strides in elements. */
export class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

export class Tuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Tuple
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Global
  | Storage
  | Foreign
  | TorchTensor;

/** A value's kind, for messages. */
export function kindOf(value: PickleValue | undefined): string {
  if (value === undefined) return "nothing";
  if (value === null) return "None";
  if (value instanceof Map) return "a dict";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return value.constructor.name;
  return `a ${typeof value}`;
}
