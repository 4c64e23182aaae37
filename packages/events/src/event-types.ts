/**
 * The one table of events: each type's name, subject and schema. Anything else is not published; a test
 * compares it with proto/gradpool/v1/events.proto and docs/events.md.
 */
import { EventType, type Event } from "@gradpool/rpc";

export type EventPayload = NonNullable<Event["payload"]>;

interface EventRow {
  type: EventType;
  /** What it is about, and what happened: "run.step". */
  name: `${"run" | "trainer" | "pool"}.${string}`;
  /** Message in the envelope's payload. The envelope, gradpool.v1.Event, is what crosses NATS. */
  schema: string;
}

export const EVENTS = {
  runSubmitted: row(EventType.EVENT_TYPE_RUN_SUBMITTED, "run.submitted", "RunSubmitted"),
  runStarted: row(EventType.EVENT_TYPE_RUN_STARTED, "run.started", "RunStarted"),
  runStep: row(EventType.EVENT_TYPE_RUN_STEP, "run.step", "StepMetrics"),
  runEvaluated: row(EventType.EVENT_TYPE_RUN_EVALUATED, "run.evaluated", "Evaluation"),
  runCheckpointSaved: row(EventType.EVENT_TYPE_RUN_CHECKPOINT_SAVED, "run.checkpoint_saved", "CheckpointSaved"),
  runPaused: row(EventType.EVENT_TYPE_RUN_PAUSED, "run.paused", "RunPaused"),
  runResumed: row(EventType.EVENT_TYPE_RUN_RESUMED, "run.resumed", "RunResumed"),
  runCompleted: row(EventType.EVENT_TYPE_RUN_COMPLETED, "run.completed", "RunCompleted"),
  runFailed: row(EventType.EVENT_TYPE_RUN_FAILED, "run.failed", "RunFailed"),
  runCancelled: row(EventType.EVENT_TYPE_RUN_CANCELLED, "run.cancelled", "RunCancelled"),
  trainerJoined: row(EventType.EVENT_TYPE_TRAINER_JOINED, "trainer.joined", "TrainerJoined"),
  trainerLost: row(EventType.EVENT_TYPE_TRAINER_LOST, "trainer.lost", "TrainerLost"),
  trainerDrained: row(EventType.EVENT_TYPE_TRAINER_DRAINED, "trainer.drained", "TrainerDrained"),
  trainerUndrained: row(EventType.EVENT_TYPE_TRAINER_UNDRAINED, "trainer.undrained", "TrainerUndrained"),
  trainerQuarantined: row(EventType.EVENT_TYPE_TRAINER_QUARANTINED, "trainer.quarantined", "TrainerQuarantined"),
  quotaRefused: row(EventType.EVENT_TYPE_QUOTA_REFUSED, "pool.quota_refused", "QuotaRefused"),
  eventsDropped: row(EventType.EVENT_TYPE_EVENTS_DROPPED, "pool.events_dropped", "EventsDropped"),
} as const satisfies Record<EventPayload["$case"], EventRow>;

function row(type: EventType, name: EventRow["name"], message: string): EventRow {
  return { type, name, schema: `gradpool.v1.${message}` };
}

const SUBJECT_PREFIX = "gradpool.v1";

/** The subjects of all events. */
export const ALL_SUBJECTS = `${SUBJECT_PREFIX}.>`;

/** The row of an event; undefined for a type that this version does not know. */
export function rowOf({ payload }: Event): EventRow | undefined {
  return payload && EVENTS[payload.$case];
}

/** The type with a name such as "run.step". */
export function eventTypeNamed(name: string): EventType | undefined {
  return Object.values(EVENTS).find((each) => each.name === name)?.type;
}

/** The subject of all events of a row, with the run or trainer they are about: gradpool.v1.run.RUN_ID.step. */
export function subjectFor({ name }: EventRow, id: string): string {
  const [about, what] = name.split(".");
  return about === "pool" ? `${SUBJECT_PREFIX}.${name}` : `${SUBJECT_PREFIX}.${about}.${subjectToken(id)}.${what}`;
}

/** Where an event is published. Throws for one without a payload, which never occurs. */
export function subjectOf(event: Event): string {
  const found = rowOf(event);
  if (!found) throw new Error(`event ${event.eventId} has no payload`);
  return subjectFor(found, event.runId || event.trainerId);
}

/** An id as one token of a subject: percent-encoded, dots and stars included. */
export function subjectToken(id: string): string {
  return encodeURIComponent(id).replace(/[.*]/g, (mark) => (mark === "." ? "%2E" : "%2A"));
}
