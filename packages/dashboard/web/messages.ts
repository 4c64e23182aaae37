/** The API's messages as JSON: proto3's, which leaves out default values. See docs/dashboard.md. */
import { ENDED } from "./run-filter.js";

export interface StepJson {
  step?: number;
  epoch?: number;
  /** Absent for 0, null for what JSON cannot say. */
  loss?: number | null;
  gradNorm?: number | null;
  learningRate?: number;
  tokens?: number;
  seconds?: number;
}

export interface EvaluationJson {
  step?: number;
  loss?: number | null;
  perplexity?: number | null;
  seconds?: number;
}

export interface CheckpointJson {
  path: string;
  step?: number;
  epoch?: number;
  removed?: boolean;
}

export interface RunJson {
  runId: string;
  spec?: {
    runName?: string;
    tags?: string[];
    modelId?: string;
    dataset?: string[];
    evalDataset?: string[];
    outputDir?: string;
    recipe?: Record<string, unknown>;
  };
  state?: string;
  submittedAt?: string;
  startedAt?: string;
  endedAt?: string;
  step?: number;
  totalSteps?: number;
  lastStep?: StepJson;
  trainableParameters?: number;
  allParameters?: number;
  error?: { code?: string; message?: string };
  preparing?: string;
  rows?: number;
  tokens?: number;
  pausedBecause?: string;
  waitingFor?: string;
  resumedFrom?: { path?: string; step?: number };
  notes?: string[];
  lastEvaluation?: EvaluationJson;
  bestEvaluation?: EvaluationJson;
  stoppedEarly?: boolean;
}

export interface TrainerJson {
  trainerId: string;
  device?: string;
  host?: string;
  threads?: number;
  residentBytes?: number;
  microBatches?: number;
  tokensPerSecond?: number;
  runId?: string;
  state?: string;
  stateReason?: string;
  deviceUse?: number;
}

export interface PoolJson {
  services?: { name?: string; address?: string; serving?: boolean; problem?: string; startedAt?: string }[];
  trainers?: TrainerJson[];
  activeRuns?: number;
  pausedRuns?: number;
}

/** "running" and the like. */
export const stateName = (state: string | undefined): string =>
  (state ?? "unknown").replace(/^(RUN|TRAINER)_STATE_/, "").toLowerCase();

/** What a run is called: by its name, else by its id. */
export const titleOf = ({ runId, spec }: RunJson): string => spec?.runName || runId;

export const hasEnded = (run: RunJson): boolean => ENDED.includes(stateName(run.state));

/** Why a run makes no progress; empty: it does, or it completed. */
export function stallText(run: RunJson): string {
  const state = stateName(run.state);
  if (run.error) return run.error.message ?? "";
  if (state === "paused") return run.pausedBecause ?? "";
  if (state === "running" && run.waitingFor) return `waiting for ${run.waitingFor}`;
  return state === "preparing" ? (run.preparing ?? "") : "";
}
