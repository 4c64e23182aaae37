/**
 * I6: an event is recorded with the change that it tells of, in one commit. The book gives events their ids and
 * numbers, and says what is kept of them: the newest, for whoever watches, and all that wait to be published.
 */
import { EventEmitter, once } from "node:events";
import type { EventPayload } from "@gradpool/events";
import type { Event, Run } from "@gradpool/rpc";
import type { Change, Published, RecordedEvents, Told } from "../store/run-store.js";

/** Events that are kept for whoever watches. */
export const KEPT_EVENTS = 10_000;

/** What is too old is removed at each such event. */
const FORGET_EVERY = 250;

/** An event to come. `run`: as it will be recorded; undefined: it is about none. */
export interface Draft {
  run?: Run;
  trainerId?: string;
  payload: EventPayload;
}

const NOTHING_TOLD: Told = { events: 0, step: 0, evaluation: 0, checkpoint: 0 };

/**
 * What was told with one more event; undefined when it is told already: what is made again after a crash is the
 * same to the bit (I2).
 */
function toldWith(payload: EventPayload, told: Told = NOTHING_TOLD): Told | undefined {
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

export class EventBook {
  readonly logId: string;
  readonly #told: Map<string, Told>;
  readonly #isPublished: boolean;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #numbered: number;
  #newest: number;
  #published: Published;

  /** `isPublished`: events wait until they are published. */
  constructor({ logId, told, newest, published }: RecordedEvents, isPublished: boolean) {
    this.logId = logId;
    this.#told = new Map(told);
    this.#isPublished = isPublished;
    this.#numbered = newest;
    this.#newest = newest;
    this.#published = published;
  }

  /** Position of the newest event that is recorded. */
  get newest(): number {
    return this.#newest;
  }

  get published(): Published {
    return this.#published;
  }

  set published(published: Published) {
    this.#published = published;
  }

  /** The id of the event at a position. */
  idOf(position: number): string {
    return `${this.logId}-${position}`;
  }

  /** The position of an event of this log; undefined for an id of another. */
  positionOf(eventId: string): number | undefined {
    const [logId, position = ""] = eventId.split("-");
    return logId === this.logId && /^\d{1,15}$/.test(position) ? Number(position) : undefined;
  }

  /** What has to be recorded of the drafts, in their order. It counts as told: whoever asks for it records it. */
  record(drafts: readonly Draft[], time: Date): Change[] {
    const changes: Change[] = [];
    for (const { run, trainerId = "", payload } of drafts) {
      const told = run && toldWith(payload, this.#told.get(run.runId));
      if (run && !told) continue;
      const position = ++this.#numbered;
      const about = { runId: run?.runId ?? "", trainerId, traceparent: run?.traceparent ?? "" };
      const event: Event = { eventId: this.idOf(position), runSequence: told?.events ?? 0, time, ...about, payload };
      changes.push({ type: "event", position, event });
      if (run && told) {
        this.#told.set(run.runId, told);
        changes.push({ type: "told", runId: run.runId, told });
      }
      if (position % FORGET_EVERY === 0) changes.push(...this.#forgotten());
    }
    return changes;
  }

  /** What `record` gave is recorded. */
  recorded(): void {
    if (this.#newest === this.#numbered) return;
    this.#newest = this.#numbered;
    this.#changes.emit("change");
  }

  /** Waits for an event behind `position`. Errors: `cancelled` when `signal` aborts before. */
  async newerThan(position: number, signal: AbortSignal): Promise<void> {
    while (this.#newest <= position) await once(this.#changes, "change", { signal });
  }

  #forgotten(): Change[] {
    const old = this.#numbered - KEPT_EVENTS;
    const through = this.#isPublished ? Math.min(old, this.#published.position) : old;
    return through > 0 ? [{ type: "forget-events", through }] : [];
  }
}
