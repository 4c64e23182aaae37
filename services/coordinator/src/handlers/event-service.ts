import { GradpoolError } from "@gradpool/errors";
import type { EventServiceService, Handlers } from "@gradpool/rpc";
import type { EventLog } from "../events/event-log.js";

/** `stopping`: aborted when the coordinator stops. */
export function eventServiceHandlers(events: EventLog, stopping: AbortSignal): Handlers<EventServiceService> {
  return {
    async *watchEvents(request, { signal }) {
      yield { event: undefined };
      try {
        for await (const event of events.watch(request, AbortSignal.any([signal, stopping]))) yield { event };
      } catch (error) {
        if (!stopping.aborted) throw error;
        throw new GradpoolError("unavailable", "the coordinator is stopping; try again later", { cause: error });
      }
    },
  };
}
