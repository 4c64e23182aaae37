/** Smoothing of curves, as TensorBoard's slider does it. */

export const MAX_SMOOTHING = 0.99;

/**
 * Exponential moving average with bias correction: of the values so far, each weighs `weight` times as much as the one after
 * it (as TensorBoard 2.21's line chart, and as pandas' ewm(alpha=1 - weight, adjust=True)). What is not finite stays as it is and
 * does not count. `weight`: from 0, no smoothing, to less than 1.
 */
export function movingAverage(values: Float64Array, weight: number): Float64Array {
  let average = 0;
  let weights = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return value;
    weights = weights * weight + (1 - weight);
    // Of values that are all the same the average is that value, to the bit.
    average += ((value - average) * (1 - weight)) / weights;
    return average;
  });
}

/** As the URL has it; 0: none. */
export function smoothingIn(query: URLSearchParams): number {
  const weight = Number(query.get("smooth") ?? 0);
  return Number.isFinite(weight) ? Math.min(MAX_SMOOTHING, Math.max(0, weight)) : 0;
}
