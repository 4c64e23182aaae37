/** What a run takes of the coordinator's memory, for a refusal in time: it would otherwise take all other runs along. */
import { totalmem } from "node:os";
import { loraShapes, type AdaptedModule } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { bytes, count, counted } from "@gradpool/format";

/**
 * Of each trainable parameter, in float32: adapter, Adam's two moments, the step's sum, a result on its way, and the three in
 * the files of a save.
 */
const COPIES = 8;
const FLOAT_BYTES = 4;

/** Trainable parameters of an adapter of rank `r`. */
export function adapterParameters(targets: readonly AdaptedModule[], r: number): number {
  const sizes = [...loraShapes(targets, r).values()].map((shape) => shape.reduce((size, length) => size * length, 1));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Errors: `resource_exhausted` when the run takes more than `availableBytes`. */
export function checkMemory(targets: readonly AdaptedModule[], r: number, availableBytes = availableMemory()): void {
  const parameters = adapterParameters(targets, r);
  const neededBytes = COPIES * FLOAT_BYTES * parameters;
  if (neededBytes <= availableBytes) return;
  const what = `an adapter of rank ${r} on ${counted(targets.length, "module")} has ${count(parameters)} parameters`;
  const problem = `training them takes about ${bytes(neededBytes)} of the coordinator's memory, which has ${bytes(availableBytes)}`;
  throw new GradpoolError("resource_exhausted", `${what}; ${problem}; lower lora_r, or adapt fewer modules`);
}

/** What is left to this process of its machine's or container's memory, whatever other processes use. */
export function availableMemory(): number {
  // 0 or enormous: there is no limit.
  const limit = process.constrainedMemory() || Infinity;
  return Math.max(0, Math.min(limit, totalmem()) - process.memoryUsage.rss());
}
