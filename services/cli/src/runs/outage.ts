/** A coordinator that does not answer, and how long it is waited for. */
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";

/** A coordinator that starts again is back within seconds; one that never answered may not be there at all. */
const ABSENT_MS = 10_000;

/** For so long one is waited for that did answer: its machine may start again. */
const AWAY_MS = 120_000;

const RETRY_PAUSE_MS = 250;

/** How calls end whose coordinator is gone, slow or going; nobody here cancels them. */
const AWAY: readonly ErrorCode[] = ["unavailable", "deadline_exceeded", "cancelled"];

/** The times of one call, with its repetitions, in which the coordinator was away. */
export class Outage {
  readonly #address: string;
  readonly #note: (text: string) => void;
  #patienceMs = ABSENT_MS;
  #giveUpAt: number | undefined;

  /** `note` is told once each time it is away. */
  constructor(address: string, note: (text: string) => void) {
    this.#address = address;
    this.#note = note;
  }

  /** It answers. */
  end(): void {
    this.#patienceMs = AWAY_MS;
    this.#giveUpAt = undefined;
  }

  /**
   * Waits before the call is repeated. Errors: the call's own when repeating it cannot help, or when the
   * coordinator stays away.
   */
  async wait(error: GradpoolError, signal: AbortSignal | undefined): Promise<void> {
    if (!AWAY.includes(error.code)) throw error;
    if (this.#giveUpAt === undefined) {
      this.#giveUpAt = performance.now() + this.#patienceMs;
      this.#note(`the coordinator at ${this.#address} is away; waiting for it`);
    }
    if (performance.now() >= this.#giveUpAt) throw noPool(this.#address, error);
    await delay(RETRY_PAUSE_MS, undefined, signal && { signal });
  }
}

/** The error of a call, with advice when nobody answered it. */
export function noPool(address: string, error: GradpoolError): GradpoolError {
  if (!AWAY.includes(error.code)) return error;
  const advice = "start one with gradpool up, or name it with --address HOST:PORT";
  return new GradpoolError("unavailable", `no pool answers at ${address}; ${advice}`, { cause: error });
}
