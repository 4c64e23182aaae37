import { totalmem } from "node:os";

/** Bytes that this process may use. */
export function processorMemory(): number {
  // 0, or more than the machine has: the process has no limit.
  const limit = process.constrainedMemory() || Infinity;
  return Math.min(limit, totalmem());
}
