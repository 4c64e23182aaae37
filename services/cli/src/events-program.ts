/** The command events. */
import { eventTypeNamed, EVENTS } from "@gradpool/events";
import type { EventType } from "@gradpool/rpc";
import { InvalidArgumentError, Option, type Command } from "commander";
import { contextFor, HELP_TAIL, JSON_LINES, jsonOption, onPool, type ProgramOptions } from "./command-options.js";
import { eventsTail, type EventsTailFlags } from "./commands/events-tail.js";

const NAMES = Object.values(EVENTS).map(({ name }) => name);

const TAIL_HELP = `
Types: ${NAMES.join(", ")}.
The last ten thousand events are kept; Ctrl-C ends the command.

Examples:
  gradpool events tail
  gradpool events tail --type run.completed --type run.failed
  gradpool events tail --run run-abc --since 1h --no-follow --json
${HELP_TAIL}`;

export function addEvents(program: Command, options: ProgramOptions): void {
  const events = program.command("events").description("what happens in a running pool").helpCommand(false);
  const tail = events.command("tail").description("all events that are kept, then those that come");
  onPool(tail, options, jsonOption(JSON_LINES))
    .option("--run <run_id>", "of this run only; may be repeated", gather)
    .addOption(new Option("--type <type>", "of this type only, such as run.step; may be repeated").argParser(eventType))
    .option("--trainer <trainer_id>", "of this trainer only")
    .addOption(
      new Option(
        "--since <time>",
        "none from before: 30s, 15m, 2h, 1d ago, or a time such as 2026-01-31T12:00",
      ).argParser(moment),
    )
    .option("--after <event_id>", "only what came after this event")
    .option("--no-follow", "end when all were shown")
    .addHelpText("after", TAIL_HELP)
    .action((flags: EventsTailFlags & { json?: boolean }) => eventsTail(flags, contextFor(flags, options)));
}

const gather = (text: string, previous: readonly string[] = []): string[] => [...previous, text];

function eventType(text: string, previous: readonly EventType[] = []): EventType[] {
  const type = eventTypeNamed(text);
  if (!type) throw new InvalidArgumentError(`must be one of ${NAMES.join(", ")}, not ${JSON.stringify(text)}`);
  return [...previous, type];
}

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function moment(text: string): Date {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const ago = Number(number) * (UNITS_MS[unit as keyof typeof UNITS_MS] ?? NaN);
  const time = number === undefined ? new Date(text) : new Date(Date.now() - ago);
  if (!Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError(`must be like 15m, or a time such as 2026-01-31T12:00, not ${JSON.stringify(text)}`);
}
