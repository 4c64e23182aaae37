/** Runs whose micro-batches no trainer of the pool can hold. */
import { bytes } from "@gradpool/format";
import type { Output } from "./effects.js";
import { canServe, hasMemory, isOfClass } from "./lookup.js";
import { endRun } from "./runs.js";
import type { PoolRun, PoolState, PoolTrainer } from "./state.js";

export interface Shortage {
  /** "a micro-batch takes at least 12.3 GB of a trainer's memory, and the largest has 8.0 GB". */
  text: string;
  advice: string;
}

/** What all trainers of the run's class lack; undefined: nothing, or there is no such trainer. */
export function shortageOf(trainers: readonly PoolTrainer[], run: PoolRun): Shortage | undefined {
  if (trainers.some((trainer) => canServe(run, trainer))) return undefined;
  const others = trainers.filter((trainer) => isOfClass(run, trainer));
  if (others.length === 0) return undefined;
  const large = others.filter((trainer) => hasMemory(run, trainer));
  return large.length === 0 ? memoryShortage(run, others) : bufferShortage(run, large);
}

function memoryShortage({ leastBytes }: PoolRun, others: readonly PoolTrainer[]): Shortage {
  const largest = Math.max(...others.map(({ memoryBytes }) => memoryBytes));
  return {
    text: `a micro-batch takes at least ${bytes(leastBytes)} of a trainer's memory, and the largest has ${bytes(largest)}`,
    advice: "lower batch_size, max_length or pass_tokens, give --gradient_checkpointing, or add a larger trainer",
  };
}

function bufferShortage({ largestTensor }: PoolRun, others: readonly PoolTrainer[]): Shortage {
  const { name, bytes: size, ofMicroBatch } = largestTensor;
  const largest = Math.max(...others.map(({ largestBufferBytes }) => largestBufferBytes));
  const other = "use a trainer on CUDA or on a processor (--device cpu)";
  return {
    text: `${name} take ${bytes(size)} in one buffer, and no GPU of the pool has one above ${bytes(largest)}`,
    advice: ofMicroBatch ? `lower batch_size, max_length or pass_tokens, or ${other}` : other,
  };
}

/**
 * Ends runs that no trainer of the pool can hold, if none of their micro-batches was ever computed: nothing that is there could
 * help. A run that has results waits instead, for the trainer that made them.
 */
export function endOversized(state: PoolState, out: Output): void {
  for (const run of [...state.runs]) {
    if (run.phase !== "running" || run.hasResults || run.group.length === 0) continue;
    const shortage = shortageOf(state.trainers, run);
    if (!shortage) continue;
    endRun(state, run.runId, out, "failed", "resource_exhausted", `${shortage.text}; ${shortage.advice}`);
  }
}
