/** What changed in the pool: by the core's decisions, by the work of runs, and by clients' requests. */
import type { CheckpointUpdate, Evaluation, RowCounts, Run, RunReport, StepMetrics } from "@gradpool/rpc";
import type { PoolFact } from "./core/facts.js";
import type { Outcome } from "./core/state.js";

/** Recorded all at once or not at all; everything that is kept or reported of a run is made of these. */
export type Fact =
  | PoolFact
  | { type: "run-submitted"; run: Run }
  /** It had not ended when the coordinator stopped. */
  | { type: "run-recovered"; run: Run }
  /** `found`: what preparing it found. Its steps and evaluations are those of the checkpoint it resumes from. */
  | {
      type: "run-prepared";
      runId: string;
      found: Partial<Run>;
      steps: readonly StepMetrics[];
      evaluations: readonly Evaluation[];
    }
  /** `rowCounts`: of all steps so far. */
  | { type: "step-made"; runId: string; step: StepMetrics; rowCounts: RowCounts }
  | { type: "evaluation-made"; runId: string; evaluation: Evaluation; stoppedEarly: boolean }
  /** Saved, or removed to keep only the newest. */
  | { type: "checkpoint-changed"; runId: string; checkpoint: CheckpointUpdate }
  /** What kind of trainer a running run lacks; empty: it lacks none. */
  | { type: "run-waits"; runId: string; waitingFor: string }
  /** Its work is stopped and its output folder is free. */
  | { type: "run-ended"; runId: string; outcome: Outcome; code: string; message: string; at: Date }
  /** How its report to another program is. */
  | { type: "run-reported"; runId: string; report: RunReport }
  /** It had ended, and is forgotten. */
  | { type: "run-deleted"; runId: string }
  /** A request took effect (I4): a hash of what it asked for, and the run or trainer it is about. */
  | { type: "request-answered"; requestId: string; content: string; subject: string }
  /** Whether a trainer is to be given work, now and whenever it joins. */
  | { type: "drain-requested"; trainerId: string; draining: boolean }
  /** The pool took no more runs; `refusals`: since this was last reported. */
  | { type: "submissions-refused"; limit: number; refusals: number; message: string };
