/** What follows from the losses of a run's evaluations: which is the best, and whether to continue. */
import type { Evaluation, Recipe } from "@gradpool/rpc";

/** The first of those with the lowest loss; undefined when there are none. */
export function bestOf(evaluations: readonly Evaluation[]): Evaluation | undefined {
  return evaluations.reduce<Evaluation | undefined>(
    (best, evaluation) => (best && best.loss <= evaluation.loss ? best : evaluation),
    undefined,
  );
}

/**
 * Whether the last evaluations, `earlyStoppingPatience` of them in a row, were not lower by more than the threshold
 * than the best before each (transformers' EarlyStoppingCallback).
 */
export function stopsEarly(
  evaluations: readonly Evaluation[],
  { earlyStoppingPatience: patience, earlyStoppingThreshold: threshold }: Recipe,
): boolean {
  if (patience === 0) return false;
  let best = Infinity;
  let worse = 0;
  for (const { loss } of evaluations) {
    worse = best - loss > threshold ? 0 : worse + 1;
    best = Math.min(best, loss);
  }
  return worse >= patience;
}

/** Whether an evaluation follows a step: every N steps and the last, or each epoch's last. */
export function isEvaluationDue(
  step: number,
  totalSteps: number,
  lastOfEpoch: boolean,
  { evalEvery }: Recipe,
): boolean {
  return step === totalSteps || (evalEvery > 0 ? step % evalEvery === 0 : lastOfEpoch);
}
