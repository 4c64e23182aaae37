/** What a fact reports to the world: payloads of events. */
import type { EventPayload } from "@gradpool/events";
import { RunState, type Run, type RunSpec } from "@gradpool/rpc";
import type { TrainerLoss } from "../core/facts.js";
import type { Fact } from "../facts.js";

/** Keeps an event far below NATS's message limit, whatever a client sends. */
const MAX_SOURCES = 20;
const MAX_TEXT_CHARACTERS = 1_000;

const bounded = (text: string): string =>
  text.length > MAX_TEXT_CHARACTERS ? `${text.slice(0, MAX_TEXT_CHARACTERS)}…` : text;

/** Why a trainer is gone, in words. */
export const LOSSES: Record<TrainerLoss, string> = {
  left: "its connection ended",
  silent: "it was silent for longer than its lease",
  replaced: "it reconnected",
};

/** Of a trainer, or of the pool. */
export function poolPayloadOf(fact: Fact): EventPayload | undefined {
  switch (fact.type) {
    case "trainer-joined":
      return { $case: "trainerJoined", value: { deviceClass: bounded(fact.deviceClass) } };
    case "trainer-lost":
      return { $case: "trainerLost", value: { reason: LOSSES[fact.how], microBatches: fact.tasks.length } };
    case "trainer-drained":
      return { $case: "trainerDrained", value: {} };
    case "trainer-quarantined":
      return { $case: "trainerQuarantined", value: { reason: bounded(fact.reason) } };
    case "trainer-active":
      return { $case: "trainerUndrained", value: {} };
    case "submissions-refused": {
      const { limit, refusals, message } = fact;
      return { $case: "quotaRefused", value: { limit, refusals, message } };
    }
    default:
      return undefined;
  }
}

/** Of a run, whose record was `before` and is `after` when all that is recorded with the fact is. */
export function runPayloadOf(fact: Fact, before: Run | undefined, after: Run): EventPayload | undefined {
  switch (fact.type) {
    case "run-submitted":
      return after.spec && { $case: "runSubmitted", value: submittedOf(after.spec) };
    case "step-made":
      return { $case: "runStep", value: fact.step };
    case "evaluation-made":
      return { $case: "runEvaluated", value: fact.evaluation };
    case "checkpoint-changed": {
      const { path, step, epoch, removed } = fact.checkpoint;
      return removed ? undefined : { $case: "runCheckpointSaved", value: { path: bounded(path), step, epoch } };
    }
    case "run-state":
      return before && statePayload(before, after);
    case "run-ended":
      return endPayload(after);
    default:
      return undefined;
  }
}

/**
 * What a run resumes with and its record lacks: a save may be newer than the record, when a run was paused or left while the
 * record could not be written. A run that begins with the steps of another reports none of those.
 */
export function resumedPayloads(fact: Fact, before: Run | undefined): EventPayload[] {
  if (fact.type !== "run-prepared" || !before?.startedAt) return [];
  const steps = fact.steps.filter(({ step }) => step > before.step);
  const evaluated = before.lastEvaluation?.step ?? 0;
  const evaluations = fact.evaluations.filter(({ step }) => step > evaluated);
  return [
    ...steps.map((value) => ({ $case: "runStep" as const, value })),
    ...evaluations.map((value) => ({ $case: "runEvaluated" as const, value })),
  ];
}

/** None when the coordinator restarted and finds the run as it was. */
function statePayload(before: Run, after: Run): EventPayload | undefined {
  const { state, step } = after;
  if (before.state === state) return undefined;
  if (state === RunState.RUN_STATE_PAUSED) {
    return { $case: "runPaused", value: { step, reason: bounded(after.pausedBecause) } };
  }
  if (state === RunState.RUN_STATE_RUNNING) {
    return before.startedAt ? { $case: "runResumed", value: { step } } : started(after);
  }
  // A run that had begun is reported once it makes steps again.
  if (before.state !== RunState.RUN_STATE_PAUSED || before.startedAt) return undefined;
  return { $case: "runResumed", value: { step } };
}

function endPayload({ state, step, tokens, stoppedEarly, error }: Run): EventPayload {
  if (state === RunState.RUN_STATE_COMPLETED) return { $case: "runCompleted", value: { step, tokens, stoppedEarly } };
  if (state === RunState.RUN_STATE_CANCELLED) return { $case: "runCancelled", value: { step } };
  const bound = error && { code: error.code, message: bounded(error.message) };
  return { $case: "runFailed", value: { step, error: bound } };
}

const submittedOf = ({ modelId, dataset, outputDir, tags }: RunSpec) => ({
  modelId: bounded(modelId),
  dataset: dataset.slice(0, MAX_SOURCES).map(bounded),
  outputDir: bounded(outputDir),
  tags,
});

function started({ totalSteps, rows, trainableParameters, allParameters, step }: Run): EventPayload {
  return { $case: "runStarted", value: { totalSteps, rows, trainableParameters, allParameters, step } };
}
