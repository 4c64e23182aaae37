/** Runs whose micro-batches no trainer of the pool can hold. */
import { bytes } from "@gradpool/format";
import type { Output } from "./effects.js";
import { isLargeEnough, isOfClass } from "./lookup.js";
import { endRun } from "./runs.js";
import type { PoolRun, PoolState, PoolTrainer } from "./state.js";

/** The largest trainer of the run's class, where none of them has the memory; undefined: there is one, or no trainer at all. */
export function tooSmall(trainers: readonly PoolTrainer[], run: PoolRun): PoolTrainer | undefined {
  const others = trainers.filter((trainer) => isOfClass(run, trainer));
  if (others.some((trainer) => isLargeEnough(run, trainer))) return undefined;
  return others.reduce<PoolTrainer | undefined>(
    (largest, other) => (other.memoryBytes > (largest?.memoryBytes ?? 0) ? other : largest),
    undefined,
  );
}

/** "a micro-batch takes at least 12.3 GB of a trainer's memory, and the largest has 8.0 GB". */
export const shortageText = ({ leastBytes }: PoolRun, { memoryBytes }: PoolTrainer): string =>
  `a micro-batch takes at least ${bytes(leastBytes)} of a trainer's memory, and the largest has ${bytes(memoryBytes)}`;

/**
 * Ends runs that no trainer of the pool can hold, if none of their micro-batches was ever computed: nothing that is there could
 * help. A run that has results waits instead, for the trainer that made them.
 */
export function endOversized(state: PoolState, out: Output): void {
  for (const run of [...state.runs]) {
    if (run.phase !== "running" || run.hasResults || run.group.length === 0) continue;
    const largest = tooSmall(state.trainers, run);
    if (!largest) continue;
    const advice =
      "lower batch_size, max_length or pass_tokens, give --gradient_checkpointing, or add a larger trainer";
    endRun(state, run.runId, out, "failed", "resource_exhausted", `${shortageText(run, largest)}; ${advice}`);
  }
}
