import { EVENTS, rowOf, type EventPayload } from "@gradpool/events";
import { GradpoolError } from "@gradpool/errors";
import type { Event, WatchEventsRequest } from "@gradpool/rpc";
import type { PlacedEvent, RunStore } from "../store/run-store.js";
import type { EventBook } from "./event-book.js";

/** Events that are read from the store at a time. */
export const PAGE_EVENTS = 256;

/** Events as they are recorded, for watchers. They read from the store, so none needs a queue. */
export class EventLog {
  readonly #store: Pick<RunStore, "events">;
  readonly #book: EventBook;

  constructor(store: Pick<RunStore, "events">, book: EventBook) {
    this.#store = store;
    this.#book = book;
  }

  /** See EventService.WatchEvents. Errors: `invalid_argument`, and `cancelled` when `signal` aborts. */
  async *watch(request: WatchEventsRequest, signal: AbortSignal): AsyncGenerator<Event> {
    const isWanted = filterOf(request);
    let place = this.#start(request.afterId);
    for (;;) {
      const page = await this.#store.events(place, PAGE_EVENTS);
      const [first] = page;
      if (place > 0 && first && first.position > place + 1) yield this.#gap(place, first);
      for (const { position, event } of page) {
        place = position;
        if (isWanted(event)) yield event;
      }
      if (page.length === PAGE_EVENTS) continue;
      if (!request.follow) return;
      await this.#book.newerThan(place, signal);
    }
  }

  /** A position of another log, or one that a restored older store has not reached, is ignored: all events are new. */
  #start(afterId: string): number {
    if (afterId !== "" && !/^[0-9a-f]+-\d{1,15}$/.test(afterId)) {
      throw new GradpoolError(
        "invalid_argument",
        `after_id ${afterId.slice(0, 100)} is not an event's id; give the id of an event, or leave it empty`,
      );
    }
    const position = this.#book.positionOf(afterId) ?? 0;
    return position > this.#book.newest ? 0 : position;
  }

  #gap(place: number, { position, event }: PlacedEvent): Event {
    const payload: EventPayload = { $case: "eventsDropped", value: { events: position - place - 1 } };
    return droppedEvent(this.#book.idOf(position - 1), event.time ?? new Date(0), payload);
  }
}

/** Stands in for events that are no longer kept. */
export function droppedEvent(eventId: string, time: Date, payload: EventPayload & { $case: "eventsDropped" }): Event {
  return { eventId, runSequence: 0, time, runId: "", runName: "", trainerId: "", traceparent: "", payload };
}

/** Every watcher is told of dropped events. */
function filterOf({ runIds: wantedRuns, types, trainerId, since }: WatchEventsRequest): (event: Event) => boolean {
  const runIds = new Set(wantedRuns);
  return (event) => {
    const row = rowOf(event);
    if (row === EVENTS.eventsDropped) return true;
    if (runIds.size > 0 && !runIds.has(event.runId)) return false;
    if (trainerId !== "" && event.trainerId !== trainerId) return false;
    if (types.length > 0 && !(row && types.includes(row.type))) return false;
    return !since || (event.time !== undefined && event.time >= since);
  };
}
