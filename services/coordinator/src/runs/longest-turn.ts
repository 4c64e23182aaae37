/** How long a trainer may take for a micro-batch before it counts as stuck: far longer than any that works. */
import type { CheckedRecipe } from "@gradpool/recipe";

/** Starting ONNX Runtime, and a machine that does much else. */
const ALWAYS_MS = 600_000;
/** A trainer elsewhere may have to download the model first. */
const BYTES_PER_MS = 2_000;
const BYTES_PER_PARAMETER = 4;
/** One slow core. Forward and backward, and forward again with gradient checkpointing. */
const OPERATIONS_PER_MS = 5e6;
const OPERATIONS_PER_PARAMETER = 8;

/** In milliseconds, for a model of this many parameters. */
export function longestTurnMs(parameters: number, { batchSize, maxLength, passTokens }: CheckedRecipe): number {
  const loadingMs = (parameters * BYTES_PER_PARAMETER) / BYTES_PER_MS;
  const tokens = Math.max(batchSize * maxLength, passTokens);
  const computingMs = (parameters * OPERATIONS_PER_PARAMETER * tokens) / OPERATIONS_PER_MS;
  return Math.ceil(ALWAYS_MS + loadingMs + computingMs);
}
