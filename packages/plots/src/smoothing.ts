/** How far smoothing reaches, as a share of the run's steps and within bounds. */
const REACH_SHARE = 1 / 40;
const LEAST_REACH = 2;
const MAX_REACH = 20;

/** Shorter runs are shown as they are. */
const LEAST_STEPS = 10;

/**
 * Average of each value's neighbours on both sides, weighted by exp(-distance / reach): unlike a running
 * average it does not lag. Values that are not finite stay gaps and do not spread.
 * Undefined when there are too few values to smooth.
 */
export function smoothed(values: readonly number[]): number[] | undefined {
  if (values.length < LEAST_STEPS) return undefined;
  const reach = Math.min(MAX_REACH, Math.max(LEAST_REACH, values.length * REACH_SHARE));
  const decay = Math.exp(-1 / reach);
  const before = decayingSums(values, decay);
  const after = decayingSums(values.toReversed(), decay).toReversed();
  return values.map((value, i) => {
    if (!Number.isFinite(value)) return NaN;
    const [left, right] = [before[i]!, after[i]!];
    // Both sides hold the value itself, with weight 1.
    return (left.sum + right.sum - value) / (left.weight + right.weight - 1);
  });
}

function decayingSums(values: readonly number[], decay: number): { sum: number; weight: number }[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum *= decay;
    weight *= decay;
    if (Number.isFinite(value)) {
      sum += value;
      weight += 1;
    }
    return { sum, weight };
  });
}
