/** gradpool events tail: what happens in a pool, as it happens; each event once, over restarts of the coordinator. */
import type { EventType } from "@gradpool/rpc";
import type { CommandContext } from "../command-context.js";
import { eventJson, eventText } from "../runs/event-text.js";
import { Pool } from "../runs/pool.js";

export interface EventsTailFlags {
  address: string;
  run?: string[];
  type?: EventType[];
  trainer?: string;
  since?: Date;
  after?: string;
  follow: boolean;
}

export async function eventsTail(flags: EventsTailFlags, { output, interrupts }: CommandContext): Promise<void> {
  const { address, run = [], type = [], trainer = "", since, after = "", follow } = flags;
  using pool = new Pool(address, (text) => output.note(text));
  const wanted = { runIds: run, types: type, trainerId: trainer, afterId: after, since, follow };
  for await (const event of pool.events(wanted, interrupts.signal)) {
    output.document(eventJson(event));
    output.say(eventText(event));
  }
}
