/** What a simulated run is, and what must come of it whatever happens around it. */

/** Uniform in [0, 1) (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface SimulatedRun {
  /** What its client calls it, and its output folder. */
  name: string;
  gradientAccumulation: number;
  epochs: number;
  microBatchesPerEpoch: number;
  /** Evaluate every this many steps and at the end, on `heldOut` micro-batches; 0: never. */
  evaluateEvery: number;
  heldOut: number;
}

/** A number that stands for an adapter: another order, another micro-batch or another adapter gives another one. */
export const mix = (adapter: number, value: number) => (Math.imul(adapter ^ value, 0x01000193) + 0x9e3779b9) >>> 0;
export const gradientOf = (adapter: number, microBatch: number) => mix(adapter, microBatch + 1);

/** Sizes of the run's steps, in micro-batches. */
export function stepsOf({ gradientAccumulation, epochs, microBatchesPerEpoch }: SimulatedRun): number[] {
  const sizes: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (let left = microBatchesPerEpoch; left > 0; left -= gradientAccumulation) {
      sizes.push(Math.min(left, gradientAccumulation));
    }
  }
  return sizes;
}

export const isEvaluated = ({ evaluateEvery, ...run }: SimulatedRun, step: number): boolean =>
  evaluateEvery > 0 && (step % evaluateEvery === 0 || step === stepsOf({ ...run, evaluateEvery }).length);

/** What an adapter is worth on the held-out data. */
export const evaluationOf = ({ heldOut }: SimulatedRun, adapter: number): number =>
  Array.from({ length: heldOut }, (_, microBatch) => gradientOf(adapter, microBatch)).reduce(mix, 0);

/** Whether the run stops early, by a rule that some of its evaluations meet. */
export const isStop = (evaluations: readonly number[]): boolean => (evaluations.at(-1) ?? 1) % 11 === 0;

/** What one trainer that never fails would make of the run. */
export function expectedEnd(run: SimulatedRun): { adapter: number; evaluations: number[] } {
  let adapter = 1;
  const evaluations: number[] = [];
  for (const [i, size] of stepsOf(run).entries()) {
    const gradients = Array.from({ length: size }, (_, microBatch) => gradientOf(adapter, microBatch));
    adapter = gradients.reduce(mix, adapter);
    if (!isEvaluated(run, i + 1)) continue;
    evaluations.push(evaluationOf(run, adapter));
    if (isStop(evaluations)) break;
  }
  return { adapter, evaluations };
}
