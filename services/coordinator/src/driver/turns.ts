/**
 * The order in which things happen: inputs go into the core one at a time; the facts of an input are
 * durable before any of its effects is carried out (I4), and before the next input's turn.
 */
import { within } from "@gradpool/tracing";
import type { Effect, Output } from "../core/effects.js";
import { emptyPool, type Input, type PoolState } from "../core/state.js";
import { transition } from "../core/transition.js";
import type { Fact } from "../facts.js";
import type { Ports } from "./ports.js";

/** Something that happened: for the core, for the record, or for both. */
export interface Happening {
  input?: Input;
  facts?: readonly Fact[];
}

export interface TurnsOptions extends Pick<Ports, "clock" | "record" | "observe" | "onCrash"> {
  life: number;
  carryOut: (output: Output) => void;
}

interface Turn {
  /** Called when its turn comes, to see the current state. Its errors go to the caller that waits for the turn. */
  what: () => Happening;
  /** When it happened. */
  nowMs: number;
  done: (effects: readonly Effect[]) => void;
  failed: (error: unknown) => void;
}

export class Turns {
  readonly #options: TurnsOptions;
  #state: PoolState;
  readonly #waiting: Turn[] = [];
  #running = false;
  #stopped = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#state = emptyPool(options.life);
  }

  get state(): PoolState {
    return this.#state;
  }

  /** Waits for its turn; resolves with its effects once they are carried out. Does nothing after `stop`. */
  happen(what: Happening | (() => Happening)): Promise<readonly Effect[]> {
    return new Promise((done, failed) => {
      if (this.#stopped) return done([]);
      const nowMs = this.#options.clock.nowMs();
      this.#waiting.push({ what: typeof what === "function" ? what : () => what, nowMs, done, failed });
      // In no span: the turns after this one belong to others.
      if (!this.#running) void within("", () => this.#run());
    });
  }

  /** Nothing happens from now on; waiting callers are released. */
  stop(): void {
    this.#stopped = true;
    for (const { done } of this.#waiting.splice(0)) done([]);
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (let turn = this.#waiting.shift(); turn; turn = this.#waiting.shift()) await this.#take(turn);
    } catch (error) {
      this.stop();
      this.#options.onCrash(error);
    } finally {
      this.#running = false;
    }
  }

  async #take({ what, nowMs, done, failed }: Turn): Promise<void> {
    let happening: Happening;
    try {
      happening = what();
    } catch (error) {
      return failed(error);
    }
    const { input, facts: reported = [] } = happening;
    const { state, facts, effects } = input
      ? transition(this.#state, { nowMs, ...input })
      : { state: this.#state, facts: [], effects: [] };
    const all = [...reported, ...facts];
    if (all.length > 0) await this.#options.record(all);
    if (this.#stopped) return done([]);
    this.#options.observe(all);
    this.#state = state;
    this.#options.carryOut({ facts, effects });
    done(effects);
  }
}
