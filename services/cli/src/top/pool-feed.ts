/** Polls a pool, and follows the runs on display. */
import { setTimeout as delay } from "node:timers/promises";
import type { GetPoolResponse, Run } from "@gradpool/rpc";
import type { Pool } from "../runs/pool.js";
import { hasEnded } from "../runs/run-state.js";
import { oneLine } from "../terminal/format.js";
import { RunSeries } from "./run-series.js";

const LOOK_EVERY_MS = 1_000;

/** Runs that are followed at a time: those that a person looks at, then the newest that have not ended. */
const MAX_FOLLOWED = 8;

/** Runs whose steps are remembered; the oldest are forgotten first. */
const MAX_REMEMBERED = 64;

/** For a single look at a pool: how long to wait for the steps made so far. */
const CATCH_UP_MS = 5_000;

export interface FeedListener {
  seen: (pool: GetPoolResponse, runs: readonly Run[]) => void;
  away: (why: string) => void;
  /** A run's series changed. */
  changed: () => void;
}

export class PoolFeed {
  readonly #pool: Pool;
  readonly #series = new Map<string, RunSeries>();
  readonly #following = new Map<string, AbortController>();
  /** Ended and read to its end: it no longer changes. */
  readonly #complete = new Set<string>();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  seriesOf = (runId: string): RunSeries | undefined => this.#series.get(runId);

  /** Until `signal` aborts. `lookedAt` gives the run that is selected, or "". */
  async run(listener: FeedListener, lookedAt: () => string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        const [pool, runs] = await Promise.all([this.#pool.status(signal), this.#pool.listShown(signal)]);
        listener.seen(pool, runs);
        this.follow(runs, lookedAt(), listener, signal);
      } catch (error) {
        if (!signal.aborted) listener.away(oneLine(error instanceof Error ? error.message : String(error)));
      }
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** Follows the runs worth following, and no others. */
  follow(
    runs: readonly Run[],
    lookedAt: string,
    { changed }: Pick<FeedListener, "changed">,
    signal: AbortSignal,
  ): void {
    const wanted = new Set(this.#worthFollowing(runs, lookedAt));
    for (const [runId, controller] of this.#following) if (!wanted.has(runId)) controller.abort();
    for (const runId of wanted) {
      if (!this.#following.has(runId)) void this.#followRun(runId, changed, signal);
    }
  }

  /**
   * The pool as it is now, with the steps made so far of its runs and of the one that `lookedAt` gives.
   * Errors: those of the calls.
   */
  async lookOnce(
    lookedAt: (pool: GetPoolResponse, runs: readonly Run[]) => string,
    signal: AbortSignal,
  ): Promise<{ pool: GetPoolResponse; runs: readonly Run[] }> {
    const [pool, runs] = await Promise.all([this.#pool.status(signal), this.#pool.listShown(signal)]);
    const stop = new AbortController();
    const steps = new Map(runs.map(({ runId, step }) => [runId, step]));
    const behind = () =>
      [...this.#following.keys()].some((id) => (this.#series.get(id)?.lastStep?.step ?? 0) < (steps.get(id) ?? 0));
    const caughtUp = new Promise<void>((resolve) => {
      const check = () => void (behind() || resolve());
      this.follow(runs, lookedAt(pool, runs), { changed: check }, AbortSignal.any([signal, stop.signal]));
      check();
    });
    await Promise.race([caughtUp, delay(CATCH_UP_MS, undefined, { signal: AbortSignal.any([signal, stop.signal]) })]);
    stop.abort();
    return { pool, runs };
  }

  #worthFollowing(runs: readonly Run[], lookedAt: string): string[] {
    const first = runs.filter(({ runId }) => runId === lookedAt);
    const others = runs.filter((run) => !hasEnded(run) && run.runId !== lookedAt);
    return [...first, ...others]
      .slice(0, MAX_FOLLOWED)
      .map(({ runId }) => runId)
      .filter((runId) => !this.#complete.has(runId));
  }

  async #followRun(runId: string, changed: () => void, signal: AbortSignal): Promise<void> {
    const controller = new AbortController();
    this.#following.set(runId, controller);
    const series = this.#series.get(runId) ?? new RunSeries();
    this.#remember(runId, series);
    try {
      for await (const update of this.#pool.watch(runId, AbortSignal.any([signal, controller.signal]))) {
        series.add(update);
        changed();
      }
      this.#complete.add(runId);
    } catch {
      // Away or unknown: the next look says so, and follows it again where it is still there.
    } finally {
      this.#following.delete(runId);
    }
  }

  #remember(runId: string, series: RunSeries): void {
    this.#series.set(runId, series);
    for (const oldest of this.#series.keys()) {
      if (this.#series.size <= MAX_REMEMBERED) return;
      if (this.#following.has(oldest)) continue;
      this.#series.delete(oldest);
      this.#complete.delete(oldest);
    }
  }
}
