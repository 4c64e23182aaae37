/** A coordinator that does not answer, and how long it is waited for. */
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { deadline, retries, watchEnd, type Call, type Interceptor } from "@gradpool/rpc";
import { Backoff } from "@gradpool/service-kit";
import { tlsProblems } from "./tls-problems.js";

/** A call that should be answered at once gives up after this. */
const CALL_TIMEOUT_MS = 30_000;

/** A coordinator that restarts is back within seconds; one that never answered may not exist. */
const ABSENT_MS = 10_000;

/** One that did answer is waited for this long: its machine may be rebooting. */
const AWAY_MS = 120_000;

const PAUSES = { firstMs: 100, longestMs: 1_000 };

/** How calls end when the coordinator is gone, slow or shutting down; nothing here cancels them. */
const AWAY: readonly ErrorCode[] = ["unavailable", "deadline_exceeded", "cancelled"];

/** The times of one call, with its repetitions, in which the coordinator was away. */
export class Outage {
  readonly #route: string;
  readonly #note: (text: string) => void;
  readonly #backoff = new Backoff(PAUSES);
  #patienceMs = ABSENT_MS;
  #giveUpAt: number | undefined;

  /** `route`: as Pool's. `note` is called once each time it is away. */
  constructor(route: string, note: (text: string) => void) {
    this.#route = route;
    this.#note = note;
  }

  /** It answers. */
  end(): void {
    this.#patienceMs = AWAY_MS;
    this.#giveUpAt = undefined;
    this.#backoff.reset();
  }

  /**
   * Waits before the call is repeated. Errors: the call's own when repeating it cannot help, or when the
   * coordinator stays away.
   */
  async wait(error: GradpoolError, signal: AbortSignal | undefined): Promise<void> {
    if (!AWAY.includes(error.code)) throw error;
    if (this.#giveUpAt === undefined) {
      this.#giveUpAt = performance.now() + this.#patienceMs;
      this.#note(`the coordinator at ${this.#route} does not answer; waiting for it`);
    }
    if (performance.now() >= this.#giveUpAt) throw noPool(this.#route, error);
    await this.#backoff.pause(signal);
  }
}

/**
 * What surrounds the calls of a coordinator's clients. A write is sent until it is answered: under one request_id it
 * has one effect, however often it arrives (I4). Reads can simply be repeated.
 */
export function callsOfPool(route: string, note: (text: string) => void): Interceptor[] {
  const outlast = retries((call) => {
    if (!isWrite(call)) return undefined;
    const outage = new Outage(route, note);
    return (error) => outage.wait(error, call.signal);
  });
  return [withAdvice(route), outlast, deadline(CALL_TIMEOUT_MS), tlsProblems(route)];
}

const isWrite = ({ input }: Call): boolean => typeof input === "object" && input !== null && "requestId" in input;

function withAdvice(route: string): Interceptor {
  return (next) => (call) =>
    watchEnd(
      () => next(call),
      (failure) => failure && (call.signal.aborted ? failure.error : noPool(route, GradpoolError.from(failure.error))),
    );
}

/** The error of a call, with advice when nothing answered it. */
function noPool(route: string, error: GradpoolError): GradpoolError {
  if (!AWAY.includes(error.code)) return error;
  const advice = "start one with gradpool up, or give its --address HOST:PORT";
  return new GradpoolError("unavailable", `no pool answers at ${route}; ${advice}`, { cause: error });
}
