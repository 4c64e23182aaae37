/** A run's settings and numbers, whether from a pool or from the folder that it wrote into. */
import type { Evaluation, StepMetrics } from "@gradpool/rpc";

export interface RunHistory {
  /** As it was asked for. */
  name: string;
  runId: string;
  /** Base, data and recipe, under the flags' names. */
  settings: Record<string, unknown>;
  /** Hashes of what the result depends on; undefined where no checkpoint can be seen from here. */
  receipt: Record<string, unknown> | undefined;
  steps: readonly HistoryStep[];
  evaluations: readonly Pick<Evaluation, "step" | "loss">[];
}

export type HistoryStep = Pick<StepMetrics, "step" | "loss" | "learningRate" | "tokens" | "seconds">;
