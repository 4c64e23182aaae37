import type { Value } from "../graph.js";
import { doraLinear, doraNorms, type DoraBranch } from "./dora-linear.js";
import { linear, loraLinear, type Linear, type LoraBranch } from "./lora-linear.js";

/** A linear layer on x [N, in] as its adapter has it: [N, out]. */
export function adaptedLinear(x: Value, base: Linear, branch: LoraBranch | DoraBranch | undefined): Value {
  if (!branch) return linear(x, base);
  return "magnitude" in branch ? doraLinear(x, base, branch, doraNorms(base, branch)) : loraLinear(x, base, branch);
}
