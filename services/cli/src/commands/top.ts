/** gradpool top: a pool and its runs, live, in the terminal. */
import { GradpoolError } from "@gradpool/errors";
import type { GetPoolResponse, Run } from "@gradpool/rpc";
import type { Command } from "commander";
import type { CommandContext } from "../command-context.js";
import { contextFor, HELP_TAIL, onAddress, type ProgramOptions } from "../command-options.js";
import { Pool } from "../runs/pool.js";
import { stateName, trainerStateName } from "../runs/run-json.js";
import { oneLine } from "../terminal/format.js";
import { frame } from "../top/frame.js";
import { overview } from "../top/overview.js";
import { PoolFeed } from "../top/pool-feed.js";
import { Screen, type Terminal } from "../top/screen.js";
import { render, span } from "../top/styled-text.js";
import { firstState, pressed, seen, selectedRun, type TopState, type Wish } from "../top/top-state.js";
import { UsageError } from "../usage-error.js";

const HELP = `
Keys: q quits; arrows select; tab switches between runs and trainers; enter opens a run, esc closes it;
p pauses a run, r resumes it, c cancels it; d drains a trainer, or undrains it.

Examples:
  gradpool top
  gradpool top --once --address 10.0.0.5:7070
${HELP_TAIL}`;

export function addTop(command: Command, options: ProgramOptions): void {
  onAddress(command, options)
    .option("--once", "print the view once as plain text")
    .addHelpText("after", HELP)
    .action((flags: TopFlags) => top(flags, contextFor({}, options)));
}

interface TopFlags {
  address: string;
  once?: boolean;
}

/** The shortest time between frames. */
const FRAME_MS = 100;

/** Width of --once where the output has none. */
const PLAIN_COLUMNS = 120;

/** Errors: UsageError where there is no terminal; with --once those of the pool. */
async function top(flags: TopFlags, context: CommandContext): Promise<void> {
  using pool = new Pool(flags.address, context.config.access, () => {});
  const { terminal } = context;
  if (flags.once) await printOnce(pool, context);
  else if (!terminal || context.config.env["TERM"] === "dumb") {
    throw new UsageError("gradpool top needs a terminal; use --once to print the view once");
  } else await new Top(pool, terminal, context).run();
}

async function printOnce(pool: Pool, { output, interrupts, terminal }: CommandContext): Promise<void> {
  const feed = new PoolFeed(pool);
  const stateOf = (...look: [GetPoolResponse, readonly Run[]]) => seen(firstState(pool.address), ...look);
  const { pool: status, runs } = await feed.lookOnce(
    (...look) => selectedRun(stateOf(...look))?.runId ?? "",
    interrupts.signal,
  );
  const columns = terminal?.output.columns || PLAIN_COLUMNS;
  const lines = overview(stateOf(status, runs), feed.seriesOf, { columns, rows: Infinity });
  // Nothing is selected.
  const unmarked = lines.map((line) => line.map((one) => (one.text === "▸ " ? span("  ") : one)));
  output.say(unmarked.map((line) => render(line, columns, false).trimEnd()).join("\n"));
}

class Top {
  readonly #pool: Pool;
  readonly #feed: PoolFeed;
  readonly #terminal: Terminal;
  readonly #hasColor: boolean;
  readonly #ended: AbortController;
  readonly #signal: AbortSignal;
  #state: TopState;
  #timer: NodeJS.Timeout | undefined;

  constructor(pool: Pool, terminal: Terminal, { config, interrupts }: CommandContext) {
    this.#pool = pool;
    this.#feed = new PoolFeed(pool);
    this.#terminal = terminal;
    // See no-color.org.
    this.#hasColor = !config.env["NO_COLOR"];
    this.#ended = new AbortController();
    this.#signal = AbortSignal.any([interrupts.signal, this.#ended.signal]);
    this.#state = firstState(pool.address);
  }

  /** Until a person quits. Errors: Interrupted. */
  async run(): Promise<void> {
    using screen = new Screen(this.#terminal, this.#hasColor, {
      key: (key) => {
        const { state, wish } = pressed(this.#state, key);
        this.#show(screen, state);
        if (wish) void this.#carryOut(screen, wish);
      },
      resize: () => this.#draw(screen),
    });
    this.#draw(screen);
    const listener = {
      seen: (...look: Parameters<typeof seen> extends [unknown, ...infer Rest] ? Rest : never) =>
        this.#show(screen, seen(this.#state, ...look)),
      away: (why: string) => this.#show(screen, { ...this.#state, away: why }),
      changed: () => this.#drawSoon(screen),
    };
    try {
      await this.#feed.run(listener, () => selectedRun(this.#state)?.runId ?? "", this.#signal);
    } finally {
      clearTimeout(this.#timer);
    }
    if (!this.#ended.signal.aborted) this.#signal.throwIfAborted();
  }

  async #carryOut(screen: Screen, wish: Wish): Promise<void> {
    if (wish.type === "quit") return this.#ended.abort();
    const say = (message: string) => this.#show(screen, { ...this.#state, message });
    say(`${wish.action} ${wish.id} …`);
    try {
      if (wish.type === "run") {
        const run = await this.#pool[wish.action](wish.id, this.#signal);
        say(`${wish.id} is ${stateName(run.state)}`);
      } else {
        const trainer = await this.#pool[wish.action](wish.id, this.#signal);
        say(`${wish.id} is ${trainerStateName(trainer.state)}`);
      }
    } catch (error) {
      if (!this.#signal.aborted) say(oneLine(GradpoolError.from(error).message));
    }
  }

  #show(screen: Screen, state: TopState): void {
    this.#state = state;
    this.#draw(screen);
  }

  #drawSoon(screen: Screen): void {
    this.#timer ??= setTimeout(() => this.#draw(screen), FRAME_MS);
  }

  #draw(screen: Screen): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    screen.draw(frame(this.#state, this.#feed.seriesOf, screen.size));
  }
}
