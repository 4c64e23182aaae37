import { GradpoolError } from "@gradpool/errors";
import { Backoff } from "@gradpool/service-kit";
import { TransientFailure } from "./hub-errors.js";
import { ATTEMPTS, LONGEST_BACKOFF_MS, LONGEST_RETRY_AFTER_MS, PROGRESS_BYTES } from "./limits.js";

/** Decides after each failure whether to try again, and waits before. */
export class Retries {
  readonly #backoff: Backoff;
  readonly #signal: AbortSignal;
  #failures = 0;
  #bytes = 0;

  constructor(backoffMs: number, signal: AbortSignal) {
    this.#backoff = new Backoff({ firstMs: backoffMs, longestMs: LONGEST_BACKOFF_MS });
    this.#signal = signal;
  }

  /** Bytes that have come, and need not come again. */
  progress(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Returns when it is time for another attempt. Throws the failure when that cannot help. */
  async after(reason: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (!(reason instanceof TransientFailure)) throw reason;
    if (this.#bytes >= PROGRESS_BYTES) {
      this.#failures = 0;
      this.#backoff.reset();
    }
    this.#bytes = 0;
    this.#failures++;
    if (this.#failures >= ATTEMPTS) throw reason.outcome;
    const { retryAfterMs } = reason;
    if (retryAfterMs !== undefined && retryAfterMs > LONGEST_RETRY_AFTER_MS) {
      const { code, message } = reason.outcome;
      const seconds = Math.ceil(retryAfterMs / 1000);
      throw new GradpoolError(code, `${message} (it asks to wait ${seconds} s)`, { cause: reason.outcome });
    }
    await this.#backoff.pause(this.#signal, retryAfterMs);
  }
}
