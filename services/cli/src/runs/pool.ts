/** A running pool, as clients see it. */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import {
  createClient,
  PoolServiceService,
  RunServiceService,
  type Client,
  type Run,
  type RunSpec,
  type Trainer,
  type WatchRunResponse,
} from "@gradpool/rpc";

/** A call that should be answered at once gives up after this. */
const CALL_TIMEOUT_MS = 30_000;

/** A lost connection is tried again for so long, at this pace. */
const RECONNECT_MS = 30_000;
const RECONNECT_PAUSE_MS = 500;

export type RunUpdate = NonNullable<WatchRunResponse["update"]>;

export class Pool implements Disposable {
  readonly #runs: Client<RunServiceService>;
  readonly #pool: Client<PoolServiceService>;

  /** `address`: "host:port" of a coordinator. */
  constructor(readonly address: string) {
    this.#runs = createClient(RunServiceService, address);
    this.#pool = createClient(PoolServiceService, address);
  }

  async submit(spec: RunSpec, signal?: AbortSignal): Promise<Run> {
    const { run } = await this.#call(this.#runs.submitRun({ requestId: randomUUID(), spec }, options(signal)));
    return given(run);
  }

  async get(runId: string, signal?: AbortSignal): Promise<Run> {
    return given((await this.#call(this.#runs.getRun({ runId }, options(signal)))).run);
  }

  async list(signal?: AbortSignal): Promise<Run[]> {
    return (await this.#call(this.#runs.listRuns({}, options(signal)))).runs;
  }

  async cancel(runId: string, signal?: AbortSignal): Promise<Run> {
    return given((await this.#call(this.#runs.cancelRun({ requestId: randomUUID(), runId }, options(signal)))).run);
  }

  async trainers(signal?: AbortSignal): Promise<Trainer[]> {
    return (await this.#call(this.#pool.listTrainers({}, options(signal)))).trainers;
  }

  /**
   * Everything about a run until it ends; goes on behind the last step when the connection was lost.
   * Errors: `not_found`, or `unavailable` when the pool stays away.
   */
  async *watch(runId: string, signal: AbortSignal): AsyncGenerator<RunUpdate> {
    let afterStep = 0;
    let giveUpAt: number | undefined;
    for (;;) {
      try {
        for await (const { update } of this.#runs.watchRun({ runId, afterStep }, { signal })) {
          giveUpAt = undefined;
          if (update?.$case === "step") afterStep = update.value.step;
          if (update) yield update;
        }
        signal.throwIfAborted();
        return;
      } catch (reason) {
        signal.throwIfAborted();
        const error = GradpoolError.from(reason);
        if (error.code !== "unavailable" || afterStep === 0) throw this.#explain(error);
        giveUpAt ??= performance.now() + RECONNECT_MS;
        if (performance.now() > giveUpAt) throw this.#explain(error);
      }
      await delay(RECONNECT_PAUSE_MS, undefined, { signal });
    }
  }

  [Symbol.dispose](): void {
    this.#runs.close();
    this.#pool.close();
  }

  async #call<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      throw this.#explain(GradpoolError.from(error));
    }
  }

  #explain(error: GradpoolError): GradpoolError {
    if (error.code !== "unavailable" && error.code !== "deadline_exceeded") return error;
    const advice = "start one with gradpool up, or name it with --address HOST:PORT";
    return new GradpoolError(error.code, `no pool answers at ${this.address}; ${advice}`, { cause: error });
  }
}

function options(signal: AbortSignal | undefined) {
  return signal ? { signal, timeoutMs: CALL_TIMEOUT_MS } : { timeoutMs: CALL_TIMEOUT_MS };
}

function given(run: Run | undefined): Run {
  if (!run) throw new Error("the coordinator's answer holds no run");
  return run;
}
