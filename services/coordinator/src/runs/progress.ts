/** A run's progress: with its tensors, all that a checkpoint says of it. */
import type { Cursor, Evaluation, ResumePoint, RowCounts, StepMetrics } from "@gradpool/rpc";
import { resumedBest, type BestAdapter } from "./best-adapter.js";
import type { PreparedRun } from "./preparation.js";
import { NO_ROWS } from "./row-counts.js";

export interface Progress {
  /** All steps and evaluations so far, those before an interruption included. */
  readonly steps: StepMetrics[];
  readonly evaluations: Evaluation[];
  /** Of the rows that these steps were made from. */
  rowCounts: RowCounts;
  /** The current adapter has to be evaluated before the next step. */
  evaluationPending: boolean;
  /** For load_best_model_at_end. */
  best: BestAdapter | undefined;
  /** Where the data is after the last step; undefined before the first. */
  cursor: Cursor | undefined;
}

/** Where a prepared run begins or resumes. Errors: those of resumedBest. */
export function startOf(prepared: PreparedRun): Progress {
  const { steps = [], evaluations = [], evaluationPending = false, cursor } = prepared.resumed ?? {};
  const { rowCounts = NO_ROWS } = prepared.resumed ?? {};
  return {
    ...{ steps: [...steps], evaluations: [...evaluations] },
    ...{ rowCounts, evaluationPending, cursor, best: resumedBest(prepared) },
  };
}

/** Steps that a run did not make itself, but has from the one that it resumes from. */
export const inheritedSteps = (resumedFrom: ResumePoint | undefined): number =>
  !resumedFrom || resumedFrom.weightsOnly ? 0 : resumedFrom.step;
