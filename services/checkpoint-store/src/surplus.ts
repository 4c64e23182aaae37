import type { SaveHeader } from "@gradpool/rpc";
import { isRecoveryName } from "@gradpool/run-folder";
import type { Found } from "./found.js";

/**
 * keep_last_n: of all checkpoints, newest first, the oldest whole checkpoints of the run and of those it continues,
 * oldest first; never the one just saved nor recovery points.
 */
export function surplus(found: readonly Found[], { runId, continuedRunIds, name, keepLastN }: SaveHeader): Found[] {
  if (keepLastN <= 0) return [];
  const runs = [runId, ...continuedRunIds];
  const own = found.filter(({ damage, manifest }) => !damage && manifest && runs.includes(manifest.runId));
  const others = own.filter((other) => !isRecoveryName(other.name) && other.name !== name);
  const kept = isRecoveryName(name) ? keepLastN : keepLastN - 1;
  return others.slice(kept).reverse();
}
