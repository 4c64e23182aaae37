/**
 * The order in which things happen: events go into the core one at a time; what has to be recorded of an
 * event is durable before any other effect of it is carried out (I4), and before the next event's turn.
 */
import { within } from "@gradpool/tracing";
import { step } from "./core/step.js";
import { emptyPool, type Effect, type Event, type PoolState } from "./core/state.js";
import type { RecordedChange } from "./run-registry.js";

/** Something that happened: for the core, for the record, or for both. */
export interface Happening {
  event?: Event;
  changes?: readonly RecordedChange[];
}

/** The same, once it is recorded: what comes of it, and the state on both sides of it. */
export interface Happened {
  event: Event | undefined;
  changes: readonly RecordedChange[];
  effects: readonly Effect[];
  before: PoolState;
  after: PoolState;
}

export interface EventLoopOptions {
  life: number;
  /** What is recorded of an event and its effects, which led from one state to the other. */
  recordOf: (event: Event, before: PoolState, after: PoolState, effects: readonly Effect[]) => RecordedChange[];
  commit: (changes: readonly RecordedChange[]) => Promise<void>;
  /** Looks on, after what happened was recorded and before its effects are carried out. */
  observe: (happened: Happened) => void;
  carryOut: (effect: Effect) => void;
  /** The loop cannot go on: a broken invariant, or a store that refuses. */
  onCrash: (error: unknown) => void;
}

interface Turn {
  /** Looks at things as they are when its turn comes. Errors are those of whoever waits for the turn. */
  what: () => Happening;
  done: () => void;
  failed: (error: unknown) => void;
}

export class EventLoop {
  readonly #options: EventLoopOptions;
  #state: PoolState;
  readonly #turns: Turn[] = [];
  #running = false;
  #stopped = false;

  constructor(options: EventLoopOptions) {
    this.#options = options;
    this.#state = emptyPool(options.life);
  }

  get state(): PoolState {
    return this.#state;
  }

  /** Waits for its turn; resolves when it is recorded and carried out. Without effect after `stop`. */
  happen(what: Happening | (() => Happening)): Promise<void> {
    return new Promise((done, failed) => {
      if (this.#stopped) return done();
      this.#turns.push({ what: typeof what === "function" ? what : () => what, done, failed });
      // In no span: the turns after this one belong to others.
      if (!this.#running) void within("", () => this.#run());
    });
  }

  /** Nothing happens any more; whoever waits is let go. */
  stop(): void {
    this.#stopped = true;
    for (const { done } of this.#turns.splice(0)) done();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (let turn = this.#turns.shift(); turn; turn = this.#turns.shift()) await this.#take(turn);
    } catch (error) {
      this.stop();
      this.#options.onCrash(error);
    } finally {
      this.#running = false;
    }
  }

  async #take({ what, done, failed }: Turn): Promise<void> {
    let happening: Happening;
    try {
      happening = what();
    } catch (error) {
      return failed(error);
    }
    const { event, changes = [] } = happening;
    const before = this.#state;
    const [state, effects] = event ? step(before, event) : [before, []];
    const recorded = event ? this.#options.recordOf(event, before, state, effects) : [];
    await this.#options.commit([...changes, ...recorded]);
    if (this.#stopped) return done();
    this.#options.observe({ event, changes, effects, before, after: state });
    this.#state = state;
    for (const effect of effects) this.#options.carryOut(effect);
    done();
  }
}
