import type { Fact } from "../facts.js";

/** However many submissions are refused, they are reported no more often than this. */
const TELL_EVERY_MS = 10_000;

/** Submissions that were refused because the pool takes no more. */
export class Refusals {
  readonly #limit: number;
  #untold = 0;
  #toldAtMs = -Infinity;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts one; a fact when one is due. */
  refused(message: string, nowMs: number): Fact | undefined {
    this.#untold += 1;
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return undefined;
    const refusals = this.#untold;
    this.#untold = 0;
    this.#toldAtMs = nowMs;
    return { type: "submissions-refused", limit: this.#limit, refusals, message };
  }
}
