/** Element types that gradpool reads and writes, by their names in the file format. */
export type Dtype = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";

/**
 * Bytes per element. The order is the writer's: Hugging Face's serializer lays tensors out by its own
 * list of types from last to first, which keeps every tensor aligned to its elements.
 */
export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = {
  I64: 8,
  F64: 8,
  F32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** Place of each type in the writer's order. */
export const DTYPE_RANK: ReadonlyMap<Dtype, number> = new Map(
  (Object.keys(DTYPE_BYTES) as Dtype[]).map((dtype, rank) => [dtype, rank]),
);

/** Types of the format that nothing here computes with; a file that has them is not damaged. */
export const FOREIGN_DTYPES: ReadonlySet<string> = new Set([
  "U64",
  "U32",
  "U16",
  "C64",
  "F8_E4M3",
  "F8_E4M3FNUZ",
  "F8_E5M2",
  "F8_E5M2FNUZ",
  "F8_E8M0",
  "F6_E2M3",
  "F6_E3M2",
  "F4",
]);

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(DTYPE_BYTES, name);
}
