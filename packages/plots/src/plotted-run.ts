/** What pictures show of runs. */

export interface PlottedStep {
  /** From 1. */
  step: number;
  /** Mean negative log likelihood per target token, in nats. */
  loss: number;
  learningRate: number;
  /** Target tokens. */
  tokens: number;
  /** Wall time that it took. */
  seconds: number;
}

/** The loss on held-out data, after this many steps. */
export type PlottedEvaluation = Pick<PlottedStep, "step" | "loss">;

export interface PlottedRun {
  /** Shown in the title, or for several runs in the legend. */
  name: string;
  steps: readonly PlottedStep[];
  evaluations: readonly PlottedEvaluation[];
}
