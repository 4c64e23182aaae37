/** A run's settings and numbers, whether from a pool or from the folder that it wrote into. */
import { labelsOf } from "@gradpool/plots";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";

export interface RunHistory {
  /** As it was asked for. */
  name: string;
  runId: string;
  /** Empty: it has none. */
  runName: string;
  /** Base, data and recipe, under the flags' names. */
  settings: Record<string, unknown>;
  /** Hashes of what the result depends on; undefined where no checkpoint can be seen from here. */
  receipt: Record<string, unknown> | undefined;
  steps: readonly HistoryStep[];
  evaluations: readonly Pick<Evaluation, "step" | "loss">[];
}

export type HistoryStep = Pick<StepMetrics, "step" | "loss" | "learningRate" | "tokens" | "seconds">;

/** What to call each of several runs in a table or a legend. */
export const namesOf = (histories: readonly RunHistory[]): string[] =>
  labelsOf(histories.map(({ name, runId, runName }) => ({ runName, distinction: name === runName ? runId : name })));
