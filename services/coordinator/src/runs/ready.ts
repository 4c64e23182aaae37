/** What a run holds once it is prepared: gone when it ends, but for its record. */
import type { Cursor, Evaluation, Run, StepMetrics } from "@gradpool/rpc";
import type { PreparedFacts } from "../core/state.js";
import { resumedBest, type BestAdapter } from "./best-adapter.js";
import type { Checkpoints } from "./checkpoints.js";
import { stopsEarly } from "./evaluations.js";
import type { Evaluator } from "./evaluator.js";
import type { Files } from "./files.js";
import { MicroBatchBuffer } from "./micro-batch-buffer.js";
import type { PreparedRun } from "./prepare.js";
import { runtimeClass } from "./start.js";
import { Training } from "./training.js";

export interface Ready {
  readonly prepared: PreparedRun;
  readonly training: Training;
  readonly buffer: MicroBatchBuffer;
  readonly tokenizerFiles: Files;
  readonly checkpoints: Checkpoints;
  /** First moment of RUNNING, in whatever life of the coordinator. */
  readonly startedAt: Date;
  /** All steps and evaluations so far, those before an interruption included. */
  readonly steps: StepMetrics[];
  readonly evaluations: Evaluation[];
  /** The adapter as it is has to be evaluated before the next step. */
  evaluationPending: boolean;
  /** The evaluation that is being made. */
  evaluator: Evaluator | undefined;
  /** For load_best_model_at_end. */
  best: BestAdapter | undefined;
  /** Where the data stands behind the last step; undefined before the first. */
  cursor: Cursor | undefined;
}

/** What the core, people and the record want to know of a prepared run. */
export interface Findings {
  facts: PreparedFacts;
  found: Partial<Run>;
  steps: StepMetrics[];
  evaluations: Evaluation[];
}

/** Where a prepared run begins or goes on. Errors: those of resumedBest. */
export function readyOf(
  prepared: PreparedRun,
  tokenizerFiles: Files,
  checkpoints: Checkpoints,
  startedAt: Date,
): Ready {
  const { recipe, resumed } = prepared;
  const { steps = [], evaluations = [], evaluationPending = false, cursor } = resumed ?? {};
  return {
    ...{ prepared, tokenizerFiles, checkpoints, startedAt, evaluationPending, cursor },
    ...{ steps: [...steps], evaluations: [...evaluations], evaluator: undefined, best: resumedBest(prepared) },
    training: new Training(prepared),
    buffer: new MicroBatchBuffer(recipe.gradientAccumulation, steps.length),
  };
}

/** `run`: as it is recorded. */
export function findingsOf(ready: Ready, run: Run): Findings {
  const { prepared, startedAt, steps, evaluations, evaluationPending } = ready;
  const { recipe, resumed, resumedFrom, rows, totalSteps, trainableParameters, allParameters, outputDir } = prepared;
  const stepsDone = steps.length;
  const stopped = !evaluationPending && stopsEarly(evaluations, recipe);
  return {
    facts: {
      ...{ gradientAccumulation: recipe.gradientAccumulation, totalSteps, stepsDone },
      ...{ evaluate: evaluationPending, stopped },
      deviceClass: resumed && runtimeClass(resumed.runtime),
    },
    found: {
      ...(run.spec && { spec: { ...run.spec, outputDir } }),
      ...{ totalSteps, rows, trainableParameters, allParameters, resumedFrom },
      startedAt,
      stoppedEarly: stopped && stepsDone < totalSteps,
      notes: [...run.notes, ...prepared.notes],
    },
    ...{ steps, evaluations },
  };
}
