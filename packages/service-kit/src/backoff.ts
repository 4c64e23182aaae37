import { setTimeout as delay } from "node:timers/promises";

export interface BackoffBounds {
  /** Before the second attempt, in milliseconds; it doubles with each further attempt. */
  firstMs: number;
  longestMs: number;
}

/**
 * Pauses between attempts: they double from the first to the longest, and each is shorter by up to half at random, so
 * that clients do not all return at the same moment after an outage.
 */
export class Backoff {
  #failures = 0;

  /** `random`: from 0 to 1. */
  constructor(
    private readonly bounds: BackoffBounds,
    private readonly random: () => number = Math.random,
  ) {}

  /** After a success: the next failure starts from the first pause. */
  reset(): void {
    this.#failures = 0;
  }

  /** The pause after one more failure, in milliseconds. */
  nextMs(): number {
    const { firstMs, longestMs } = this.bounds;
    const wholeMs = Math.min(firstMs * 2 ** this.#failures++, longestMs);
    return wholeMs * (1 - this.random() / 2);
  }

  /** Waits for the next pause, at least `leastMs`. Errors: AbortError when `signal` aborts. */
  async pause(signal?: AbortSignal, leastMs = 0): Promise<void> {
    await delay(Math.max(leastMs, this.nextMs()), undefined, { signal });
  }
}
