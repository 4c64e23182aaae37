import type { Fact } from "../facts.js";

/** Refused submissions are reported at most this often. */
const TELL_EVERY_MS = 10_000;

/** Submissions that were refused because the pool is full. */
export class Refusals {
  readonly #limit: number;
  #untold = 0;
  #toldAtMs = -Infinity;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts one; returns a fact when one is due. */
  refused(message: string, nowMs: number): Fact | undefined {
    this.#untold += 1;
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return undefined;
    const refusals = this.#untold;
    this.#untold = 0;
    this.#toldAtMs = nowMs;
    return { type: "submissions-refused", limit: this.#limit, refusals, message };
  }
}
