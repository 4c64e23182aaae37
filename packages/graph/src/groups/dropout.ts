import { cast, mul, scale } from "../ops/index.js";
import type { Value } from "../graph.js";

export interface DropoutMask {
  /** bool, in the shape of what it drops from: false drops an element. */
  keep: Value;
  /** 1 / (1 − p): the factor of the kept elements. */
  factor: number;
}

/** x∘keep·factor, as torch.nn.functional.dropout computes it once the mask is drawn; x itself without one. */
export function dropout(x: Value, mask: DropoutMask | undefined): Value {
  return mask ? mul(x, scale(cast(mask.keep, x.dtype), mask.factor)) : x;
}
