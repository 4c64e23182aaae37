/** A simulated run, and its required outcome whatever happens around it. */
import { RowCounts } from "@gradpool/rpc";

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
  /** Its client's name for it, and its output folder. */
  name: string;
  gradientAccumulation: number;
  epochs: number;
  microBatchesPerEpoch: number;
  /** Bit i: the epoch's micro-batch i, modulo 8, has no target. */
  withoutTarget: number;
  /** Evaluate every this many steps and at the end, on `heldOut` micro-batches; 0: never. */
  evaluateEvery: number;
  heldOut: number;
}

/** A number that stands for an adapter: another order, another micro-batch or another adapter gives another one. */
export const mix = (adapter: number, value: number) => (Math.imul(adapter ^ value, 0x01000193) + 0x9e3779b9) >>> 0;
export const gradientOf = (adapter: number, microBatch: number) => mix(adapter, microBatch + 1);

export const hasTarget = ({ withoutTarget }: SimulatedRun, microBatch: number): boolean =>
  ((withoutTarget >> (microBatch % 8)) & 1) === 0;

/** An epoch's groups of micro-batches; one without any target is not a step. */
function groupsOf(run: SimulatedRun): { size: number; isStep: boolean }[] {
  const { gradientAccumulation, microBatchesPerEpoch } = run;
  const groups: { size: number; isStep: boolean }[] = [];
  for (let first = 0; first < microBatchesPerEpoch; first += gradientAccumulation) {
    const size = Math.min(microBatchesPerEpoch - first, gradientAccumulation);
    const isStep = Array.from({ length: size }, (_, i) => hasTarget(run, first + i)).includes(true);
    groups.push({ size, isStep });
  }
  return groups;
}

/** Steps as they are planned from the count of rows. */
export const plannedSteps = (run: SimulatedRun): number => run.epochs * groupsOf(run).length;

/** Sizes of the run's steps, in micro-batches. */
export function stepsOf(run: SimulatedRun): number[] {
  const sizes = groupsOf(run).flatMap(({ size, isStep }) => (isStep ? [size] : []));
  return Array.from({ length: run.epochs }, () => sizes).flat();
}

/** What each step counts, of micro-batches of one row: its own, those of groups without a target after it, and before an epoch's first. */
function countsOfSteps(run: SimulatedRun): RowCounts[] {
  const epoch: RowCounts[] = [];
  const before = RowCounts.create();
  let first = 0;
  for (const { size, isStep } of groupsOf(run)) {
    if (isStep) epoch.push(epoch.length === 0 ? { ...before } : RowCounts.create());
    const counts = epoch.at(-1) ?? before;
    counts.rows += size;
    for (let i = first; i < first + size; i++) if (!hasTarget(run, i)) counts.rowsWithoutTarget += 1;
    if (!isStep) counts.stepsWithoutTarget += 1;
    first += size;
  }
  return Array.from({ length: run.epochs }, () => epoch).flat();
}

export const isEvaluated = ({ evaluateEvery, ...run }: SimulatedRun, step: number): boolean =>
  evaluateEvery > 0 && (step % evaluateEvery === 0 || step === stepsOf({ ...run, evaluateEvery }).length);

/** An adapter's loss on the held-out data. */
export const evaluationOf = ({ heldOut }: SimulatedRun, adapter: number): number =>
  Array.from({ length: heldOut }, (_, microBatch) => gradientOf(adapter, microBatch)).reduce(mix, 0);

/** Whether the run stops early, by a rule that some of its evaluations meet. */
export const isStop = (evaluations: readonly number[]): boolean => (evaluations.at(-1) ?? 1) % 11 === 0;

/** What one trainer that never fails would make of the run. */
export function expectedEnd(run: SimulatedRun): { adapter: number; evaluations: number[]; rowCounts: RowCounts } {
  let adapter = 1;
  const rowCounts = RowCounts.create();
  const counts = countsOfSteps(run);
  const evaluations: number[] = [];
  for (const [i, size] of stepsOf(run).entries()) {
    const gradients = Array.from({ length: size }, (_, microBatch) => gradientOf(adapter, microBatch));
    adapter = gradients.reduce(mix, adapter);
    rowCounts.rows += counts[i]!.rows;
    rowCounts.rowsWithoutTarget += counts[i]!.rowsWithoutTarget;
    rowCounts.stepsWithoutTarget += counts[i]!.stepsWithoutTarget;
    if (!isEvaluated(run, i + 1)) continue;
    evaluations.push(evaluationOf(run, adapter));
    if (isStop(evaluations)) break;
  }
  return { adapter, evaluations, rowCounts };
}
