import type { Value } from "../graph.js";
import { doraLinear, doraNorms, type DoraBranch } from "./dora-linear.js";
import { linear, type Linear } from "./linear.js";
import { loraLinear, type LoraBranch } from "./lora-linear.js";
import { widened } from "./weight-product.js";

/** A linear layer on x [N, in] as its adapter has it: [N, out]. */
export function adaptedLinear(x: Value, base: Linear, branch: LoraBranch | DoraBranch | undefined): Value {
  if (!branch) return linear(x, base);
  if (!("magnitude" in branch)) return loraLinear(x, base, branch);
  const weight = x.graph.halfProducts ? base.weight : widened(base.weight, x);
  const norms = doraNorms({ ...base, weight }, branch);
  return doraLinear(x, base, branch, norms);
}
