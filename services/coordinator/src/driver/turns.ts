/**
 * The order in which things happen: inputs go into the core one at a time; the facts of an input are
 * durable before any of its effects is carried out (I4). While one commit waits for the disk, others' turns come
 * together; the next commit records all of them, in their order, and then their effects are carried out in it.
 */
import { GradpoolError } from "@gradpool/errors";
import { within } from "@gradpool/tracing";
import type { Effect, Output } from "../core/effects.js";
import { emptyPool, type Input, type PoolState } from "../core/state.js";
import { transition, type Transition } from "../core/transition.js";
import type { Fact } from "../facts.js";
import type { Ports } from "./ports.js";

/** Turns that one commit records at most: the last of them waits for it all. */
const MAX_TOGETHER = 256;
/** And how long deciding them may hold the event loop: with thousands of trainers a turn takes almost a millisecond. */
const MAX_DECIDING_MS = 10;

/** Something that happened: for the core, for the record, or for both. */
export interface Happening {
  /** As a function it is called in its turn, to be as new as possible; it must not depend on the state. */
  input?: Input | (() => Input);
  facts?: readonly Fact[];
  /** Of a turn that looks at the state: it has a commit of its own, which the record may refuse; its caller gets the error. */
  alone?: boolean;
}

export interface TurnsOptions extends Pick<Ports, "clock" | "record" | "observe" | "onCrash"> {
  life: number;
  carryOut: (output: Output) => void;
}

interface Turn {
  /** As a function it is called in its turn, to see the current state. Its errors go to the caller that waits for the turn. */
  what: Happening | (() => Happening);
  /** When it happened. */
  nowMs: number;
  done: (effects: readonly Effect[]) => void;
  failed: (error: unknown) => void;
}

/** A turn with what it comes to, before that is recorded. */
interface Decided {
  turn: Turn;
  outcome: Transition;
  /** All that is to be recorded. */
  facts: readonly Fact[];
  alone: boolean;
}

/** By which the record refuses a turn; any other failure of it is the end. */
const REFUSALS: ReadonlySet<string> = new Set(["already_exists", "failed_precondition"]);

export class Turns {
  readonly #options: TurnsOptions;
  #state: PoolState;
  readonly #waiting: Turn[] = [];
  /** The first of the next group, where it could not be part of the one before. */
  #next: Decided | undefined;
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
      this.#waiting.push({ what, nowMs, done, failed });
      // In no span: the turns after this one belong to others.
      if (!this.#running) void within("", () => this.#run());
    });
  }

  /** Nothing happens from now on; waiting callers are released. */
  stop(): void {
    this.#stopped = true;
    this.#next?.turn.done([]);
    this.#next = undefined;
    for (const { done } of this.#waiting.splice(0)) done([]);
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#next || this.#waiting.length > 0) await this.#take(this.#group());
    } catch (error) {
      this.stop();
      this.#options.onCrash(error);
    } finally {
      this.#running = false;
    }
  }

  /** The next turns, decided one after the other, as far as one commit may record them. */
  #group(): Decided[] {
    const group: Decided[] = this.#next ? [this.#next] : [];
    this.#next = undefined;
    const { clock } = this.#options;
    const begunMs = clock.nowMs();
    while (group.length < MAX_TOGETHER && (group.length === 0 || clock.nowMs() - begunMs < MAX_DECIDING_MS)) {
      const [turn] = this.#waiting;
      // It looks at what those before it have done.
      if (!turn || (group.length > 0 && typeof turn.what === "function")) break;
      this.#waiting.shift();
      const decided = this.#decide(turn, group.at(-1)?.outcome.state ?? this.#state);
      if (!decided) continue;
      if (group.length > 0 && decided.facts.some(isSeen)) {
        this.#next = decided;
        break;
      }
      group.push(decided);
      if (decided.alone) break;
    }
    return group;
  }

  /** Undefined when its caller got an error instead. */
  #decide(turn: Turn, state: PoolState): Decided | undefined {
    const happening = happeningOf(turn);
    if (!happening) return undefined;
    const { input, facts = [], alone = false } = happening;
    if (!input) return { turn, facts, alone, outcome: { state, facts: [], effects: [] } };
    const outcome = transition(state, { nowMs: turn.nowMs, ...(typeof input === "function" ? input() : input) });
    return { turn, facts: [...facts, ...outcome.facts], alone, outcome };
  }

  /** False: the record refuses the group's only turn, as if it had not happened, and its caller got the error. */
  async #isRecorded([first]: readonly Decided[], recorded: readonly (readonly Fact[])[]): Promise<boolean> {
    try {
      await this.#options.record(recorded);
      return true;
    } catch (error) {
      if (!first?.alone || !REFUSALS.has(GradpoolError.from(error).code)) throw error;
      first.turn.failed(error);
      return false;
    }
  }

  async #take(group: readonly Decided[]): Promise<void> {
    const recorded = group.map(({ facts }) => facts).filter((facts) => facts.length > 0);
    if (recorded.length > 0 && !(await this.#isRecorded(group, recorded))) return;
    for (const { turn, facts, outcome } of group) {
      if (this.#stopped) {
        turn.done([]);
        continue;
      }
      this.#options.observe(facts);
      this.#state = outcome.state;
      this.#options.carryOut(outcome);
      turn.done(outcome.effects);
    }
  }
}

/** Undefined when its caller got an error instead. */
function happeningOf({ what, failed }: Turn): Happening | undefined {
  try {
    return typeof what === "function" ? what() : what;
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/** What people see of a run: effects are carried out while the record shows the state that they were decided in. */
const isSeen = ({ type }: Fact): boolean => type === "run-state" || type === "run-ended";
