import { setTimeout as sleep } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { TransientFailure } from "./hub-errors.js";
import { ATTEMPTS, LONGEST_BACKOFF_MS, LONGEST_RETRY_AFTER_MS, PROGRESS_BYTES } from "./limits.js";

/** Decides after each failure whether to try again, and waits before. */
export class Retries {
  readonly #backoffMs: number;
  readonly #signal: AbortSignal;
  #failures = 0;
  #bytes = 0;

  constructor(backoffMs: number, signal: AbortSignal) {
    this.#backoffMs = backoffMs;
    this.#signal = signal;
  }

  /** Bytes that have come, and need not come again. */
  progress(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Returns when it is time for another attempt. Throws the failure where that is no use. */
  async after(reason: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (!(reason instanceof TransientFailure)) throw reason;
    this.#failures = this.#bytes >= PROGRESS_BYTES ? 1 : this.#failures + 1;
    this.#bytes = 0;
    if (this.#failures >= ATTEMPTS) throw reason.outcome;
    const { retryAfterMs } = reason;
    if (retryAfterMs !== undefined && retryAfterMs > LONGEST_RETRY_AFTER_MS) {
      const { code, message } = reason.outcome;
      const seconds = Math.ceil(retryAfterMs / 1000);
      throw new GradpoolError(code, `${message} (it asks for a pause of ${seconds} s)`, { cause: reason.outcome });
    }
    const backoffMs = Math.min(LONGEST_BACKOFF_MS, this.#backoffMs * 2 ** (this.#failures - 1));
    // Spread, so that many clients do not come back at the same moment.
    const waitMs = Math.max(retryAfterMs ?? 0, backoffMs * (0.5 + Math.random() / 2));
    await sleep(waitMs, undefined, { signal: this.#signal });
  }
}
