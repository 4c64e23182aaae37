import { EventEmitter, once } from "node:events";
import { GradpoolError, isTooManyOpenFiles, type ErrorCode } from "@gradpool/errors";
import { isBroken } from "@gradpool/rpc";
import { Backoff } from "@gradpool/service-kit";

/** Between attempts. */
const PAUSES = { firstMs: 100, longestMs: 5_000 };
/** A service may be unavailable this long, as when it restarts, before it is reported. */
const QUIET_MS = 5_000;

/** A service may end this often in a row while it works for a run, which then is the reason. */
const MAX_BREAKS = 5;

const AWAY: ReadonlySet<ErrorCode> = new Set(["unavailable", "cancelled"]);
const FULL: ReadonlySet<ErrorCode> = new Set(["resource_exhausted", "permission_denied"]);

/** A service that stops cancels its calls, one that died breaks them. */
export const isAway = ({ code }: GradpoolError): boolean => AWAY.has(code);
/** Adds what keeps a file from being written until a person fixes it. */
export const isAwayOrFull = (error: GradpoolError): boolean => isAway(error) || FULL.has(error.code);

/**
 * Waits out what is not a run's fault: unavailable services, full disks. `report` is called with the
 * reason why the run is held up, and "" when it no longer is.
 */
export class Outages {
  readonly #report: (reason: string) => void;
  /** Of the calls being held up, oldest first. */
  readonly #reasons = new Map<object, string>();
  readonly #wake = new EventEmitter().setMaxListeners(0);

  constructor(report: (reason: string) => void) {
    this.#report = report;
  }

  /** Retries at once. */
  wake(): void {
    this.#wake.emit("wake");
  }

  /**
   * Retries the call of the named service while it fails as `isWaitedFor` says. A call that takes
   * long calls `progressed` whenever it advances. Errors: any other failure, and `cancelled`; `failed_precondition` when
   * the service's process ends during MAX_BREAKS calls in a row.
   */
  async waitOut<T>(
    service: string,
    call: (progressed: () => void) => Promise<T>,
    signal: AbortSignal,
    isWaitedFor: (error: GradpoolError) => boolean = isAway,
  ): Promise<T> {
    const held = {};
    let since: number | undefined;
    let breaks = 0;
    const backoff = new Backoff(PAUSES);
    const progressed = () => {
      since = undefined;
      breaks = 0;
      backoff.reset();
      this.#release(held);
    };
    try {
      for (;;) {
        signal.throwIfAborted();
        try {
          return await call(progressed);
        } catch (error) {
          const failure = GradpoolError.from(error);
          if (!isWaitedFor(failure) || signal.aborted) throw error;
          if (isBroken(error) && ++breaks === MAX_BREAKS) throw endsTheService(service, error);
          since ??= performance.now();
          const [line = ""] = failure.message.split("\n");
          // A service that can open no file is there.
          if (!isAway(failure) || isTooManyOpenFiles(failure))
            this.#hold(held, `${line}; the run resumes by itself once that is fixed`);
          else if (performance.now() - since > QUIET_MS)
            this.#hold(held, `the ${service} service is unavailable (${line})`);
        }
        await this.#pause(backoff, signal);
      }
    } finally {
      this.#release(held);
    }
  }

  async #pause(backoff: Backoff, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    try {
      await Promise.race([backoff.pause(until), once(this.#wake, "wake", { signal: until })]);
    } finally {
      over.abort();
    }
  }

  #hold(held: object, reason: string): void {
    if (this.#reasons.get(held) === reason) return;
    this.#reasons.set(held, reason);
    this.#tell();
  }

  #release(held: object): void {
    if (this.#reasons.delete(held)) this.#tell();
  }

  #tell(): void {
    const [first = ""] = this.#reasons.values();
    this.#report(first);
  }
}

/** The supervisor starts it again; but no other run could work if this one continued. */
function endsTheService(service: string, cause: unknown): GradpoolError {
  const problem = `the ${service} service ended ${MAX_BREAKS} times in a row while it worked for this run`;
  const advice = "its log says why; correct the run's model or data";
  return new GradpoolError("failed_precondition", `${problem}; ${advice}`, { cause });
}
