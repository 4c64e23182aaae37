import type { EventPayload } from "@gradpool/events";

/** However many submissions are refused, they are told of no more often than this. */
const TELL_EVERY_MS = 10_000;

/** Submissions that were refused because the pool takes no more. */
export class Refusals {
  readonly #limit: number;
  #untold = 0;
  #toldAtMs = -Infinity;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts one, and gives the event of it when one is due. */
  refused(message: string, nowMs: number): EventPayload | undefined {
    this.#untold += 1;
    if (nowMs - this.#toldAtMs < TELL_EVERY_MS) return undefined;
    const refusals = this.#untold;
    this.#untold = 0;
    this.#toldAtMs = nowMs;
    return { $case: "quotaRefused", value: { limit: this.#limit, refusals, message } };
  }
}
