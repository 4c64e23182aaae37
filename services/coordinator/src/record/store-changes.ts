/** What the run store keeps of a fact. */
import { RunState, type Evaluation, type Run, type StepMetrics } from "@gradpool/rpc";
import type { Outcome, VisibleState } from "../core/state.js";
import type { Fact } from "../facts.js";
import { bestOf } from "../runs/evaluations.js";
import type { Change } from "../store/run-store.js";

const STATES: Record<VisibleState, RunState> = {
  queued: RunState.RUN_STATE_QUEUED,
  preparing: RunState.RUN_STATE_PREPARING,
  running: RunState.RUN_STATE_RUNNING,
  paused: RunState.RUN_STATE_PAUSED,
};

const OUTCOMES: Record<Outcome, RunState> = {
  completed: RunState.RUN_STATE_COMPLETED,
  failed: RunState.RUN_STATE_FAILED,
  cancelled: RunState.RUN_STATE_CANCELLED,
};

/** Besides the run's own record. */
export function changesOf(fact: Fact): Change[] {
  switch (fact.type) {
    case "step-made":
      return [{ type: "step", runId: fact.runId, step: fact.step }];
    case "evaluation-made":
      return [{ type: "evaluation", runId: fact.runId, evaluation: fact.evaluation }];
    case "checkpoint-changed":
      return [{ type: "checkpoint", runId: fact.runId, checkpoint: fact.checkpoint }];
    case "run-prepared":
      return [{ type: "steps", runId: fact.runId, steps: fact.steps, evaluations: fact.evaluations }];
    case "run-deleted":
      return [{ type: "delete-run", runId: fact.runId }];
    case "request-answered":
      return [{ ...fact, type: "request" }];
    case "drain-requested":
      return [{ ...fact, type: "drained" }];
    default:
      return [];
  }
}

/** Of a run that has made progress, or that ended no coordinator. */
export const NO_LIVES = { livesWithoutProgress: 0, begunInLives: [] } satisfies Partial<Run>;

/** The run without the lives that only lost their lease: it did not end those coordinators. */
export function withoutSurvivors(run: Run, survivors: ReadonlySet<number>): Run {
  const begunInLives = run.begunInLives.filter((life) => !survivors.has(life));
  const survived = run.begunInLives.length - begunInLives.length;
  return { ...run, begunInLives, livesWithoutProgress: run.livesWithoutProgress - survived };
}

/** What a fact changes in the record `run` of its run, in this life of a coordinator. */
export function patchOf(fact: Fact, run: Run, life: number): Partial<Run> | undefined {
  switch (fact.type) {
    case "run-state": {
      const state = { state: STATES[fact.state], pausedBecause: fact.because };
      const isBegun = fact.state === "preparing" && run.state !== RunState.RUN_STATE_PAUSED;
      if (!isBegun) return state;
      const { livesWithoutProgress: lives, begunInLives } = run;
      return { ...state, livesWithoutProgress: lives + 1, begunInLives: [...begunInLives, life] };
    }
    case "run-prepared":
      return { ...fact.found, ...afterSteps(fact.steps, fact.evaluations) };
    case "step-made":
      return {
        ...{ step: fact.step.step, lastStep: fact.step, tokens: run.tokens + fact.step.tokens },
        ...{ rowCounts: fact.rowCounts, ...NO_LIVES },
      };
    case "run-shortened":
      return { totalSteps: fact.totalSteps };
    case "evaluation-made": {
      const { evaluation, stoppedEarly } = fact;
      const { bestEvaluation: best } = run;
      return {
        lastEvaluation: evaluation,
        bestEvaluation: bestOf(best ? [best, evaluation] : [evaluation]),
        ...{ stoppedEarly, ...NO_LIVES },
      };
    }
    case "run-ended": {
      const { outcome, code, message, at: endedAt } = fact;
      const error = outcome === "failed" ? { code, message } : undefined;
      return { state: OUTCOMES[outcome], endedAt, pausedBecause: "", error };
    }
    case "run-reported": {
      const others = run.reports.filter(({ to }) => to !== fact.report.to);
      return { reports: [...others, fact.report] };
    }
    default:
      return undefined;
  }
}

const afterSteps = (steps: readonly StepMetrics[], evaluations: readonly Evaluation[]): Partial<Run> => ({
  step: steps.length,
  lastStep: steps.at(-1),
  lastEvaluation: evaluations.at(-1),
  bestEvaluation: bestOf(evaluations),
  tokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
});
