import { GradpoolError } from "@gradpool/errors";
import type { StepMetrics } from "@gradpool/rpc";

/**
 * A loss has exploded when a step's is beyond 4 times, or those of 5 steps in a row beyond 1.25 times, both what
 * guessing gives (ln V, each token as likely) and the run's first loss. A step of few tokens may be bad luck, and
 * an untrained base begins at guessing: neither is as bad.
 */
export const EXPLODED_FACTOR = 4;
export const BAD_FACTOR = 1.25;
export const MAX_BAD_STEPS = 5;

export class LossGuard {
  readonly #guessing: number;
  #first: number | undefined;
  /** Bad steps in a row so far. */
  #bad = 0;

  /** `steps`: the earlier ones. */
  constructor(vocabSize: number, steps: readonly StepMetrics[]) {
    this.#guessing = Math.log(vocabSize);
    for (const { loss } of steps) this.#count(loss);
  }

  /** Errors: `failed_precondition`, naming the step, when the loss has exploded. */
  check(step: number, loss: number): void {
    const level = this.#count(loss);
    if (level <= EXPLODED_FACTOR && this.#bad < MAX_BAD_STEPS) return;
    const since = level <= EXPLODED_FACTOR ? `, the ${MAX_BAD_STEPS}th step in a row that is worse than guessing` : "";
    const what = `the loss exploded to ${loss.toFixed(2)} (${this.#first?.toFixed(2)} at the first step)${since}`;
    const advice = "lower learning_rate, add warm-up, or set max_grad_norm";
    throw new GradpoolError("failed_precondition", `step ${step}: ${what}; ${advice}`);
  }

  /** Gives the loss as a multiple of the greater of guessing and the first loss. */
  #count(loss: number): number {
    this.#first ??= loss;
    const level = loss / Math.max(this.#guessing, this.#first);
    this.#bad = level > BAD_FACTOR ? this.#bad + 1 : 0;
    return level;
  }
}
