/** A running pool, as clients see it. */
import { randomUUID } from "node:crypto";
import type { AccessSources } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import {
  EventServiceService,
  PoolServiceService,
  RunServiceService,
  RunView,
  type Client,
  type Evaluation,
  type Event,
  type GetPoolResponse,
  type Run,
  type RunLogEntry,
  type RunSpec,
  type RunState,
  type StepMetrics,
  type Trainer,
  type VerifyRunStoreResponse,
  type WatchEventsRequest,
  type WatchRunResponse,
} from "@gradpool/rpc";
import { inSpan } from "@gradpool/tracing";
import { connect, routeTo } from "../connect.js";
import { callsOfPool, Outage } from "./outage.js";
import { hasEnded, UNFINISHED } from "./run-state.js";

/** The time for a look at the pool, which asks its services. */
const STATUS_TIMEOUT_MS = 10_000;

/** Runs in a page, at most. */
const MAX_PAGE_RUNS = 1_000;

/** Runs that a view of the pool shows, besides those that have not ended. */
const SHOWN_RUNS = 100;

/** Which runs to list. */
export interface WantedRuns {
  limit: number;
  view: RunView;
  /** None: all. */
  states?: readonly RunState[];
  /** Part of its name; empty: all. */
  runName?: string;
  /** It has all of them. */
  tags?: readonly string[];
}

export interface RunSoFar {
  run: Run;
  steps: StepMetrics[];
  evaluations: Evaluation[];
}

export type RunUpdate = NonNullable<WatchRunResponse["update"]>;

export class Pool implements Disposable {
  readonly #runs: Client<RunServiceService>;
  readonly #pool: Client<PoolServiceService>;
  readonly #events: Client<EventServiceService>;
  readonly #note: (text: string) => void;
  /** Its address, with the proxy on the way there, for people. */
  readonly route: string;

  /**
   * `address`: "host:port" of a coordinator; `access`: where key and certificates come from. `note` is called when it is away
   * and waited for, once each time. Errors: those of connect.
   */
  constructor(
    readonly address: string,
    access: AccessSources,
    note: (text: string) => void,
  ) {
    this.route = routeTo(address, access);
    const interceptors = callsOfPool(this.route, note);
    this.#runs = connect(RunServiceService, address, access, interceptors);
    this.#pool = connect(PoolServiceService, address, access, interceptors);
    this.#events = connect(EventServiceService, address, access, interceptors);
    this.#note = note;
  }

  async submit(spec: RunSpec, signal?: AbortSignal): Promise<Run> {
    const request = { requestId: randomUUID(), spec };
    return inSpan("submit run", {}, async () => given((await this.#runs.submitRun(request, { signal })).run));
  }

  async get(runId: string, signal?: AbortSignal): Promise<Run> {
    return given((await this.#runs.getRun({ runId }, { signal })).run);
  }

  /** The newest runs, page by page, at most `limit`; whether there are more. */
  async list(wanted: WantedRuns, signal?: AbortSignal): Promise<{ runs: Run[]; hasMore: boolean }> {
    const { limit, view, states = [], runName = "", tags = [] } = wanted;
    const filter = { view, states: [...states], runName, tags: [...tags] };
    const runs: Run[] = [];
    for (let pageToken = ""; ;) {
      const pageSize = Math.min(limit - runs.length, MAX_PAGE_RUNS);
      const page = await this.#runs.listRuns({ pageSize, pageToken, ...filter }, { signal });
      runs.push(...page.runs);
      pageToken = page.nextPageToken;
      if (pageToken === "" || runs.length >= limit) {
        return { runs: runs.slice(0, limit), hasMore: pageToken !== "" || runs.length > limit };
      }
    }
  }

  /** For views of a pool: the runs that have not ended, and the newest of the others, newest first. */
  async listShown(signal?: AbortSignal): Promise<Run[]> {
    const view = RunView.RUN_VIEW_BASIC;
    const [unfinished, newest] = await Promise.all([
      this.list({ limit: MAX_PAGE_RUNS, view, states: UNFINISHED }, signal),
      this.list({ limit: SHOWN_RUNS, view }, signal),
    ]);
    const active = unfinished.runs.filter((run) => !hasEnded(run));
    return [...active, ...newest.runs.filter(hasEnded)];
  }

  async pause(runId: string, signal?: AbortSignal): Promise<Run> {
    return given((await this.#runs.pauseRun({ requestId: randomUUID(), runId }, { signal })).run);
  }

  async resume(runId: string, signal?: AbortSignal): Promise<Run> {
    return given((await this.#runs.resumeRun({ requestId: randomUUID(), runId }, { signal })).run);
  }

  async cancel(runId: string, signal?: AbortSignal): Promise<Run> {
    return given((await this.#runs.cancelRun({ requestId: randomUUID(), runId }, { signal })).run);
  }

  async delete(runId: string, signal?: AbortSignal): Promise<void> {
    await this.#runs.deleteRun({ requestId: randomUUID(), runId }, { signal });
  }

  async status(signal?: AbortSignal): Promise<GetPoolResponse> {
    return this.#pool.getPool({}, { signal, timeoutMs: STATUS_TIMEOUT_MS });
  }

  async trainers(signal?: AbortSignal): Promise<Trainer[]> {
    return (await this.#pool.listTrainers({}, { signal })).trainers;
  }

  async drain(trainerId: string, signal?: AbortSignal): Promise<Trainer> {
    return given((await this.#pool.drainTrainer({ requestId: randomUUID(), trainerId }, { signal })).trainer);
  }

  async undrain(trainerId: string, signal?: AbortSignal): Promise<Trainer> {
    return given((await this.#pool.undrainTrainer({ requestId: randomUUID(), trainerId }, { signal })).trainer);
  }

  /** The run store as a file, piece by piece. Errors: `failed_precondition`, `resource_exhausted`; `data_loss` when it is cut off. */
  async *backUp(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let missing = 0;
    for await (const { sizeBytes, data } of this.#pool.backUp({}, { signal })) {
      missing += sizeBytes - data.byteLength;
      yield data;
    }
    if (missing !== 0) throw new GradpoolError("data_loss", "the run store's copy is truncated; try again");
  }

  /** Looks at the run store, part by part. */
  verifyRunStore(signal: AbortSignal): AsyncIterable<VerifyRunStoreResponse> {
    return this.#pool.verifyRunStore({}, { signal });
  }

  /**
   * Everything about a run until it ends; resumes after the last step when the connection was lost.
   * Errors: `not_found`, or `unavailable` when the pool stays away.
   */
  async *watch(runId: string, signal: AbortSignal): AsyncGenerator<RunUpdate> {
    const outage = new Outage(this.route, this.#note);
    let afterStep = 0;
    let isOver = false;
    for (;;) {
      let problem = new GradpoolError("unavailable", "the coordinator stopped before the run ended");
      try {
        for await (const { update } of this.#runs.watchRun({ runId, afterStep }, { signal })) {
          outage.end();
          if (update?.$case === "step") afterStep = update.value.step;
          if (update?.$case === "run") isOver = hasEnded(update.value);
          if (update) yield update;
        }
        if (isOver) return;
      } catch (reason) {
        problem = GradpoolError.from(reason);
      }
      signal.throwIfAborted();
      await outage.wait(problem, signal);
    }
  }

  /** Events as WatchEvents gives them, each once; resumes where it was when the connection was lost. */
  async *events(wanted: WatchEventsRequest, signal: AbortSignal): AsyncGenerator<Event> {
    let { afterId } = wanted;
    for await (const { event } of this.#again(
      () => this.#events.watchEvents({ ...wanted, afterId }, { signal }),
      signal,
    )) {
      if (!event) continue;
      afterId = event.eventId;
      yield event;
    }
  }

  /** A run's log; with `follow` until the run has ended, as `events`. Errors: `not_found` besides. */
  async *log(runId: string, follow: boolean, signal: AbortSignal): AsyncGenerator<RunLogEntry> {
    let afterNumber = 0;
    const watch = () => this.#runs.watchRunLog({ runId, afterNumber, follow }, { signal });
    for await (const { entry } of this.#again(watch, signal)) {
      if (!entry) continue;
      afterNumber = entry.number;
      yield entry;
    }
  }

  /** A run with all its steps and evaluations up to now. Errors: as watch. */
  async history(runId: string, signal: AbortSignal): Promise<RunSoFar> {
    const steps: StepMetrics[] = [];
    const evaluations: Evaluation[] = [];
    let run: Run | undefined;
    for await (const update of this.watch(runId, signal)) {
      if (update.$case === "run") run ??= update.value;
      else if (update.$case === "step") steps.push(update.value);
      // After a lost connection the last one may come again.
      else if (update.$case === "evaluation" && update.value.step > (evaluations.at(-1)?.step ?? 0)) {
        evaluations.push(update.value);
      }
      // Only the run's state at the start is needed.
      const { step = 0, lastEvaluation } = run ?? {};
      const isBehind = steps.length < step || (evaluations.at(-1)?.step ?? 0) < (lastEvaluation?.step ?? 0);
      if (run && !isBehind && !hasEnded(run)) break;
    }
    return { run: given(run), steps, evaluations };
  }

  [Symbol.dispose](): void {
    this.#runs.close();
    this.#pool.close();
    this.#events.close();
  }

  /** A stream that is asked for again when its connection is lost, until it ends by itself. */
  async *#again<T>(stream: () => AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
    const outage = new Outage(this.route, this.#note);
    for (;;) {
      let problem: GradpoolError;
      try {
        for await (const message of stream()) {
          outage.end();
          yield message;
        }
        return;
      } catch (reason) {
        problem = GradpoolError.from(reason);
      }
      signal.throwIfAborted();
      await outage.wait(problem, signal);
    }
  }
}

/** A field that an answer must have. */
function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the coordinator's answer is empty");
  return value;
}
