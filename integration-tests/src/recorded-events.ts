/** What a pool has recorded of its events. */
import assert from "node:assert/strict";
import { WatchEventsRequest, type Client, type Event, type EventServiceService } from "@gradpool/rpc";

/** All events so far, in order. */
export async function recordedEvents(client: Client<EventServiceService>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const { event } of client.watchEvents(WatchEventsRequest.create())) if (event) events.push(event);
  return events;
}

/** Of these events, those of a run report each of its steps once, in order, and none of them is missing. */
export function assertEachOnce(events: readonly Event[], runId: string, steps: number): void {
  const own = events.filter((event) => event.runId === runId);
  const made = own.flatMap(({ payload }) => (payload?.$case === "runStep" ? [payload.value.step] : []));
  assert.deepEqual(made, upTo(steps), "each step once, in order");
  assert.deepEqual(
    own.map(({ runSequence }) => runSequence),
    upTo(own.length),
  );
}

/** 1, 2, … count. */
export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
