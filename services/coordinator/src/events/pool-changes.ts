/** What an event of the core tells of trainers, and to the logs of the runs that they work for. */
import type { EventPayload } from "@gradpool/events";
import { isActive, placeOf, tasksOf, trainerOf } from "../core/lookup.js";
import type { Effect, Event, PoolState, TaskState, TrainerState } from "../core/state.js";
import type { RecordedChange } from "../run-registry.js";
import { noteOf } from "../run-log.js";
import { bounded } from "./run-events.js";

/** `effects`: those of the event, which led from `before` to `after`. */
export function poolChanges(
  event: Event,
  before: PoolState,
  after: PoolState,
  effects: readonly Effect[],
): RecordedChange[] {
  const gone = before.trainers.filter(({ trainerId }) => isGone(trainerId, event, after));
  return [
    ...gone.flatMap((trainer) => lost(trainer, event, before)),
    ...after.trainers.flatMap((trainer) => {
      const same = gone.some(({ trainerId }) => trainerId === trainer.trainerId);
      return changesOf(same ? undefined : trainerOf(before, trainer.trainerId), trainer);
    }),
    ...failureNotes(event, before),
    ...effects.flatMap((effect) => (effect.type === "assign" ? retryNotes(effect.task, after) : [])),
  ];
}

function isGone(trainerId: string, event: Event, after: PoolState): boolean {
  return (event.type === "trainer-joined" && event.trainerId === trainerId) || !trainerOf(after, trainerId);
}

const REASONS: Partial<Record<Event["type"], string>> = {
  "trainer-left": "its connection ended",
  "time-passed": "it was silent for longer than its lease",
  "trainer-joined": "it connected again",
};

function lost({ trainerId }: TrainerState, event: Event, before: PoolState): RecordedChange[] {
  const tasks = tasksOf(before, trainerId);
  const reason = REASONS[event.type] ?? "";
  const runIds = [...new Set(tasks.map(({ runId }) => runId))];
  const notes = runIds.map((runId) => {
    const count = tasks.filter((task) => task.runId === runId).length;
    const what = count === 1 ? "the micro-batch" : `the ${count} micro-batches`;
    return noteOf(
      runId,
      "warn",
      `${trainerId} was lost: ${reason}; ${what} that it had go${count === 1 ? "es" : ""} to others`,
    );
  });
  return [tell(trainerId, { $case: "trainerLost", value: { reason, microBatches: tasks.length } }), ...notes];
}

/** `before` is undefined for a trainer that just joined. */
function changesOf(before: TrainerState | undefined, trainer: TrainerState): RecordedChange[] {
  const { trainerId, deviceClass, draining, quarantineReason } = trainer;
  const isQuarantined = trainer.quarantinedUntilMs > 0;
  const told: EventPayload[] = [];
  if (!before) told.push({ $case: "trainerJoined", value: { deviceClass: bounded(deviceClass) } });
  if (draining && !before?.draining) told.push({ $case: "trainerDrained", value: {} });
  if (isQuarantined && !before?.quarantinedUntilMs) {
    told.push({ $case: "trainerQuarantined", value: { reason: bounded(quarantineReason) } });
  }
  if (before && !isActive(before) && isActive(trainer)) told.push({ $case: "trainerUndrained", value: {} });
  return told.map((payload) => tell(trainerId, payload));
}

const tell = (trainerId: string, payload: EventPayload): RecordedChange => ({ type: "tell", trainerId, payload });

function failureNotes(event: Event, before: PoolState): RecordedChange[] {
  if (event.type !== "task-failed") return [];
  const task = before.tasks.find(({ taskId }) => taskId === event.taskId);
  if (!task) return [];
  return [noteOf(task.runId, "warn", `${placeOf(task)} failed on ${task.trainerId}: ${event.message}`)];
}

/** Work that was handed out before. */
function retryNotes(task: TaskState, after: PoolState): RecordedChange[] {
  const run = after.runs.find(({ runId }) => runId === task.runId);
  const attempts = run?.group[task.microBatch]?.attempts ?? 1;
  if (attempts === 1) return [];
  return [noteOf(task.runId, "info", `${placeOf(task)} goes to ${task.trainerId}, attempt ${attempts}`)];
}
