/** Events and entries of a run's log, as people read them and as --json shows them. */
import { rowOf } from "@gradpool/events";
import { count, localTime, visible } from "@gradpool/format";
import { LogLevel, type Event, type RunLogEntry } from "@gradpool/rpc";
import { snakeKeys } from "./run-json.js";
import { evaluationText, runLabel } from "./run-text.js";

/** One line: time, type, run or trainer, and the type's details. */
export function eventText(event: Event): string {
  const about = runLabel(event) || event.trainerId;
  const words = [event.time ? localTime(event.time) : "", rowOf(event)?.name ?? "unknown", about, detail(event)];
  return visible(words.filter((word) => word !== "").join("  "));
}

function detail({ payload }: Event): string {
  switch (payload?.$case) {
    case "runSubmitted":
      return `${payload.value.modelId} on ${payload.value.dataset.join(" ")}`;
    case "runStarted": {
      const { totalSteps, step } = payload.value;
      return `${count(totalSteps)} steps${step > 0 ? `, resumed after step ${count(step)}` : ""}`;
    }
    case "runStep": {
      const { step, loss, tokens, seconds } = payload.value;
      return `step ${count(step)}, loss ${loss.toFixed(4)}, ${count(tokens)} tokens in ${seconds.toFixed(2)} s`;
    }
    case "runEvaluated":
      return `step ${count(payload.value.step)}, ${evaluationText(payload.value)}`;
    case "runCheckpointSaved":
      return payload.value.path;
    case "runPaused":
    case "trainerQuarantined":
      return payload.value.reason;
    case "runResumed":
    case "runCancelled":
      return `after step ${count(payload.value.step)}`;
    case "runCompleted":
      return `${count(payload.value.step)} steps, ${count(payload.value.tokens)} tokens`;
    case "runFailed":
      return payload.value.error?.message ?? "";
    case "trainerJoined":
      return payload.value.deviceClass;
    case "trainerLost":
      return `${payload.value.reason}; ${count(payload.value.microBatches)} micro-batches go to other trainers`;
    case "quotaRefused":
      return payload.value.message;
    case "eventsDropped":
      return `${count(payload.value.events)} events are no longer stored`;
    case "trainerDrained":
    case "trainerUndrained":
    case undefined:
      return "";
  }
}

/** The details of its type are among the event's own fields. */
export function eventJson(given: Event): unknown {
  const { payload, runId, runName, trainerId, traceparent, runSequence, ...event } = given;
  const type = rowOf(given)?.name;
  const about = {
    runId: runId || undefined,
    runName: runName || undefined,
    runSequence: runSequence || undefined,
    trainerId: trainerId || undefined,
    traceparent: traceparent || undefined,
  };
  const isTagged = payload?.$case === "runSubmitted" && payload.value.tags.length > 0;
  const details = isTagged ? payload.value : { ...payload?.value, tags: undefined };
  return snakeKeys({ type, ...event, ...about, ...details });
}

const LEVEL_NAMES: Record<LogLevel, string> = {
  [LogLevel.LOG_LEVEL_UNSPECIFIED]: "",
  [LogLevel.LOG_LEVEL_INFO]: "info",
  [LogLevel.LOG_LEVEL_WARN]: "warn",
  [LogLevel.LOG_LEVEL_ERROR]: "error",
};

/** One line: time, level and message. */
export function logText({ time, level, message }: RunLogEntry): string {
  return `${time ? localTime(time) : ""}  ${LEVEL_NAMES[level].padEnd(5)}  ${visible(message)}`;
}

export function logJson({ level, ...entry }: RunLogEntry): unknown {
  return snakeKeys({ ...entry, level: LEVEL_NAMES[level] });
}
