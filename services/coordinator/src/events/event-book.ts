/**
 * I6: an event is recorded with the change it reports, in one commit. The store gives events their
 * places; the book numbers those of each run, and decides which are kept: the newest, for watchers, and all that wait to be published.
 */
import { EventEmitter, once } from "node:events";
import type { EventPayload } from "@gradpool/events";
import type { Run } from "@gradpool/rpc";
import type { Change, Published, RecordedEvents, Reported } from "../store/run-store.js";

/** Events that are kept for watchers. */
export const KEPT_EVENTS = 10_000;

/** Old events are removed once in this many. */
const FORGET_EVERY = 250;

/** An event to record. `run`: as it will be recorded; undefined: it is not about a run. */
export interface Draft {
  run?: Run;
  trainerId?: string;
  payload: EventPayload;
}

const NOTHING_REPORTED: Reported = { events: 0, step: 0, evaluation: 0, checkpoint: 0 };

/**
 * What is reported with one more event; undefined when it was reported before: what is repeated after a crash is the
 * same to the bit (I2).
 */
function reportedWith(payload: EventPayload, reported: Reported = NOTHING_REPORTED): Reported | undefined {
  const events = reported.events + 1;
  switch (payload.$case) {
    case "runStep":
      return payload.value.step > reported.step ? { ...reported, events, step: payload.value.step } : undefined;
    case "runEvaluated":
      return payload.value.step > reported.evaluation
        ? { ...reported, events, evaluation: payload.value.step }
        : undefined;
    case "runCheckpointSaved":
      return payload.value.step > reported.checkpoint
        ? { ...reported, events, checkpoint: payload.value.step }
        : undefined;
    default:
      return { ...reported, events };
  }
}

export class EventBook {
  readonly logId: string;
  readonly #reported: Map<string, Reported>;
  readonly #isPublished: boolean;
  readonly #changes = new EventEmitter().setMaxListeners(0);
  /** What `#newest` will be once all is recorded, unless other coordinators record events, too. */
  #expected: number;
  /** Events that were to be recorded since old ones were last removed. */
  #sinceForgotten: number;
  #newest: number;
  #published: Published;

  /** `isPublished`: events wait until they are published. */
  constructor({ logId, reported, newest, published }: RecordedEvents, isPublished: boolean) {
    this.logId = logId;
    this.#reported = new Map(reported);
    this.#isPublished = isPublished;
    this.#newest = newest;
    this.#expected = newest;
    this.#sinceForgotten = newest % FORGET_EVERY;
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

  /** What has to be recorded of the drafts, in their order. It counts as reported: the caller records it. */
  record(drafts: readonly Draft[], time: Date): Change[] {
    const changes: Change[] = [];
    for (const { run, trainerId = "", payload } of drafts) {
      const reported = run && reportedWith(payload, this.#reported.get(run.runId));
      if (run && !reported) continue;
      const { runId = "", traceparent = "", spec } = run ?? {};
      const about = { runId, runName: spec?.runName ?? "", trainerId, traceparent };
      changes.push({ type: "event", event: { runSequence: reported?.events ?? 0, time, ...about, payload } });
      if (run && reported) {
        this.#reported.set(run.runId, reported);
        changes.push({ type: "reported", runId: run.runId, reported });
      }
      this.#expected += 1;
      this.#sinceForgotten += 1;
      if (this.#sinceForgotten >= FORGET_EVERY) changes.push(...this.#forgotten());
    }
    return changes;
  }

  /** What another coordinator has reported of a run that is this one's from now on. */
  adopt(runId: string, reported: Reported | undefined): void {
    if (reported) this.#reported.set(runId, reported);
  }

  /** There will be no more of a run. */
  forget(runId: string): void {
    this.#reported.delete(runId);
  }

  /** Events are recorded up to a position. */
  recorded(newest: number): void {
    if (newest <= this.#newest) return;
    this.#newest = newest;
    this.#expected = Math.max(this.#expected, newest);
    this.#changes.emit("change");
  }

  /** Waits for an event after `position`. Errors: `cancelled` when `signal` aborts first. */
  async newerThan(position: number, signal: AbortSignal): Promise<void> {
    while (this.#newest <= position) await once(this.#changes, "change", { signal });
  }

  #forgotten(): Change[] {
    this.#sinceForgotten = 0;
    const old = this.#expected - KEPT_EVENTS;
    const through = this.#isPublished ? Math.min(old, this.#published.position) : old;
    return through > 0 ? [{ type: "forget-events", through }] : [];
  }
}
