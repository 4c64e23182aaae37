import { GradpoolError } from "@gradpool/errors";
import type { TensorEntry } from "@gradpool/safetensors";

/** Dtypes of weights that the runtime reads; other than float32 they are widened when a session is made. */
export const WEIGHT_DTYPES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;
export type WeightDtype = keyof typeof WEIGHT_DTYPES;

/** Where a weight is; `begin` and `end` are byte offsets in `file`, a path in the folder of the weights. */
export interface WeightEntry extends TensorEntry {
  file: string;
}

/** A matrix [K, M] as whole numbers of eight bits (I8 or U8), and what each column's are multiplied by [M]. */
export interface Int8Entry {
  numbers: WeightEntry;
  scales: WeightEntry;
}

/** Of a weight W, for products x·W and x·Wᵀ; one that no product needs is left out. */
export interface Int8Entries {
  plain?: Int8Entry;
  transposed?: Int8Entry;
}

/** What is known of a model's weights without reading them, from however many files they are in. */
export interface WeightsHeader {
  tensors: ReadonlyMap<string, WeightEntry>;
  /** Why tensors that are there cannot be used, by name: reported where one of them is needed. */
  unreadable?: ReadonlyMap<string, GradpoolError>;
  /** Weights of linear layers that were quantized before, by name. */
  int8?: ReadonlyMap<string, Int8Entries>;
}

/** A weight by name and expected shape. Errors: `data_loss` when missing or of another shape or type. */
export function requireTensor(header: WeightsHeader, name: string, shape: readonly number[]): WeightEntry {
  const entry = header.tensors.get(name);
  const refuse = (problem: string) =>
    new GradpoolError("data_loss", `the model's weights do not fit its config.json: ${problem}; download the model again`);
  const reason = header.unreadable?.get(name);
  if (!entry && reason) throw reason;
  if (!entry) {
    const other = [...header.tensors.keys()].find((known) => known.endsWith(`.${name}`));
    if (other === undefined) throw refuse(`${name} is missing`);
    const named = `the weights name it ${JSON.stringify(other.slice(0, 200))}`;
    throw new GradpoolError("failed_precondition", `${name} is missing: ${named}; save the model itself, not what it is wrapped in`);
  }
  if (entry.shape.join() !== shape.join()) {
    throw refuse(`${name} is [${entry.shape.join(", ")}] instead of [${shape.join(", ")}]`);
  }
  if (!(entry.dtype in WEIGHT_DTYPES)) {
    const known = Object.keys(WEIGHT_DTYPES).join(", ");
    throw new GradpoolError("failed_precondition", `${name} is stored as ${entry.dtype}; gradpool reads ${known}`);
  }
  return entry;
}
