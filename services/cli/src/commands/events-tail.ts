/** gradpool events tail: what happens in a pool, as it happens; each event once, even when the coordinator restarts. */
import { eventTypeNamed, EVENTS } from "@gradpool/events";
import type { EventType } from "@gradpool/rpc";
import { InvalidArgumentError, Option, type Command } from "commander";
import type { CommandContext } from "../command-context.js";
import {
  contextFor,
  HELP_TAIL,
  JSON_LINES,
  jsonOption,
  onPool,
  type OutputFlags,
  type ProgramOptions,
} from "../command-options.js";
import { lengthOfTime } from "../flags.js";
import { eventJson, eventText } from "../runs/event-text.js";
import { Pool } from "../runs/pool.js";

const NAMES = Object.values(EVENTS).map(({ name }) => name);

const HELP = `
Types: ${NAMES.join(", ")}.
The pool keeps the last ten thousand events. Ctrl-C ends the command.

Examples:
  gradpool events tail
  gradpool events tail --type run.completed --type run.failed
  gradpool events tail --run run-abc --since 1h --no-follow --json
${HELP_TAIL}`;

export function addEventsTail(events: Command, options: ProgramOptions): void {
  const tail = events.command("tail").description("print all stored events, then new ones as they come");
  onPool(tail, options, jsonOption(JSON_LINES))
    .option("--run <run_id>", "only of this run; may be repeated", gather)
    .addOption(new Option("--type <type>", "only of this type, such as run.step; may be repeated").argParser(eventType))
    .option("--trainer <trainer_id>", "only of this trainer")
    .addOption(
      new Option(
        "--since <time>",
        "only from this time on: 30s, 15m, 2h or 1d ago, or a time such as 2026-01-31T12:00",
      ).argParser(moment),
    )
    .option("--after <event_id>", "only after this event")
    .option("--no-follow", "end after the stored events")
    .addHelpText("after", HELP)
    .action((flags: EventsTailFlags & OutputFlags) => eventsTail(flags, contextFor(flags, options)));
}

const gather = (text: string, previous: readonly string[] = []): string[] => [...previous, text];

function eventType(text: string, previous: readonly EventType[] = []): EventType[] {
  const type = eventTypeNamed(text);
  if (!type) throw new InvalidArgumentError(`must be one of ${NAMES.join(", ")}, not ${JSON.stringify(text)}`);
  return [...previous, type];
}

function moment(text: string): Date {
  const ago = lengthOfTime(text);
  const time = ago === undefined ? new Date(text) : new Date(Date.now() - ago);
  if (!Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError(`must be like 15m, or a time such as 2026-01-31T12:00, not ${JSON.stringify(text)}`);
}

interface EventsTailFlags {
  address: string;
  run?: string[];
  type?: EventType[];
  trainer?: string;
  since?: Date;
  after?: string;
  follow: boolean;
}

async function eventsTail(flags: EventsTailFlags, { output, config, interrupts }: CommandContext): Promise<void> {
  const { address, run = [], type = [], trainer = "", since, after = "", follow } = flags;
  using pool = new Pool(address, config.access, (text) => output.note(text));
  const wanted = { runIds: run, types: type, trainerId: trainer, afterId: after, since, follow };
  for await (const event of pool.events(wanted, interrupts.signal)) {
    output.document(eventJson(event));
    output.say(eventText(event));
  }
}
