/** What the changes of a run's record tell to the world. */
import type { EventPayload } from "@gradpool/events";
import { RunState, type Run, type RunSpec } from "@gradpool/rpc";
import type { Change, Told } from "../store/run-store.js";

/** An event is to stay far below what NATS takes as one message, whatever a client sends. */
const MAX_SOURCES = 20;
const MAX_TEXT_CHARACTERS = 1_000;

export const bounded = (text: string): string =>
  text.length > MAX_TEXT_CHARACTERS ? `${text.slice(0, MAX_TEXT_CHARACTERS)}…` : text;

/** Of a step, an evaluation or a checkpoint. */
export function eventOfChange(change: Change): EventPayload | undefined {
  if (change.type === "step") return { $case: "runStep", value: change.step };
  if (change.type === "evaluation") return { $case: "runEvaluated", value: change.evaluation };
  if (change.type !== "checkpoint" || change.checkpoint.removed) return undefined;
  const { path, step, epoch } = change.checkpoint;
  return { $case: "runCheckpointSaved", value: { path: bounded(path), step, epoch } };
}

const NOTHING_TOLD: Told = { events: 0, step: 0, evaluation: 0, checkpoint: 0 };

/**
 * What was told with one more event; undefined when it is told already: what is made again after a crash is the
 * same to the bit (I2).
 */
export function toldWith(payload: EventPayload, told: Told = NOTHING_TOLD): Told | undefined {
  const events = told.events + 1;
  switch (payload.$case) {
    case "runStep":
      return payload.value.step > told.step ? { ...told, events, step: payload.value.step } : undefined;
    case "runEvaluated":
      return payload.value.step > told.evaluation ? { ...told, events, evaluation: payload.value.step } : undefined;
    case "runCheckpointSaved":
      return payload.value.step > told.checkpoint ? { ...told, events, checkpoint: payload.value.step } : undefined;
    default:
      return { ...told, events };
  }
}

/** Of a run's way from its submission to its end. `before` is undefined for a new run. */
export function eventsOfRun(before: Run | undefined, after: Run): EventPayload[] {
  if (!before) return after.spec ? [{ $case: "runSubmitted", value: submittedOf(after.spec) }] : [];
  if (before.state === after.state) return [];
  const { step, tokens, stoppedEarly, error } = after;
  switch (after.state) {
    case RunState.RUN_STATE_RUNNING:
      return [before.startedAt ? { $case: "runResumed", value: { step } } : started(after)];
    case RunState.RUN_STATE_PAUSED:
      return [{ $case: "runPaused", value: { step, reason: bounded(after.pausedBecause) } }];
    case RunState.RUN_STATE_COMPLETED:
      return [{ $case: "runCompleted", value: { step, tokens, stoppedEarly } }];
    case RunState.RUN_STATE_FAILED: {
      const bound = error && { code: error.code, message: bounded(error.message) };
      return [{ $case: "runFailed", value: { step, error: bound } }];
    }
    case RunState.RUN_STATE_CANCELLED:
      return [{ $case: "runCancelled", value: { step } }];
    case RunState.RUN_STATE_QUEUED:
    case RunState.RUN_STATE_PREPARING:
      // One that had begun is told of when it makes steps again.
      if (before.state !== RunState.RUN_STATE_PAUSED || before.startedAt) return [];
      return [{ $case: "runResumed", value: { step } }];
    case RunState.RUN_STATE_UNSPECIFIED:
      return [];
  }
}

const submittedOf = ({ modelId, dataset, outputDir }: RunSpec) => ({
  modelId: bounded(modelId),
  dataset: dataset.slice(0, MAX_SOURCES).map(bounded),
  outputDir: bounded(outputDir),
});

function started({ totalSteps, rows, trainableParameters, allParameters, step }: Run): EventPayload {
  return { $case: "runStarted", value: { totalSteps, rows, trainableParameters, allParameters, step } };
}
