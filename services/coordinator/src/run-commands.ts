/** What clients may ask of runs: each request has one effect and one answer (I4), and is refused while the coordinator stops. */
import { GradpoolError } from "@gradpool/errors";
import { DeleteRunRequest, RunState, SubmitRunRequest, type Run, type RunSpec } from "@gradpool/rpc";
import { activeTraceparent, inSpan } from "@gradpool/tracing";
import { isProcessor } from "./core/lookup.js";
import type { Input, PoolTrainer } from "./core/state.js";
import type { Driver } from "./driver/driver.js";
import { Refusals } from "./events/refusals.js";
import type { Fact } from "./facts.js";
import { contentOf, type Answered, type Requests } from "./record/requests.js";
import { changesHands } from "./record/run-record.js";
import { MAX_UNFINISHED_RUNS, type RunRegistry } from "./record/run-registry.js";
import type { Reporter } from "./reports/reporter.js";

/** As packages/rpc names it for clients with a trace. */
const SUBMIT_SPAN = "gradpool.v1.RunService/SubmitRun";

/** What a client may ask of an existing run. */
export interface Wish {
  /** Its name: part of what a request id identifies. */
  rpc: string;
  /** As in "there is nothing to pause". */
  verb: string;
  input: (runId: string) => Input;
  /** The request is fulfilled if the run ended like this. */
  fulfilled?: RunState;
  /** The request's message, which has a name of its own for each RPC. */
  message: { encode(request: RunRequest): { finish(): Uint8Array } };
}

export interface RunRequest {
  requestId: string;
  runId: string;
}

export interface RunCommandsOptions {
  driver: Pick<Driver, "happen" | "submit" | "state">;
  registry: RunRegistry;
  requests: Requests;
  reporter: Pick<Reporter, "check">;
  /** Aborted when the coordinator stops. */
  stopping: AbortSignal;
}

export class RunCommands {
  readonly #options: RunCommandsOptions;
  readonly #refusals = new Refusals(MAX_UNFINISHED_RUNS);

  constructor(options: RunCommandsOptions) {
    this.#options = options;
  }

  /** Errors: those of requireProcessor, RunRegistry.newRun and Requests.once, and `unavailable`. */
  async submit(requestId: string, spec: RunSpec | undefined): Promise<Run> {
    this.#refuseWhenStopping();
    const { requests, registry } = this.#options;
    const content = contentOf("SubmitRun", SubmitRunRequest.encode({ requestId: "", spec }).finish());
    const once = () => requests.once(requestId, content, (answered) => this.#submit(spec, answered));
    // A run's trace begins here, unless its client began one.
    const traced = activeTraceparent() === "" ? inSpan(SUBMIT_SPAN, { kind: "server" }, once) : once();
    const runId = await traced.catch((error: unknown) => {
      throw this.explained(error);
    });
    return registry.get(runId).run;
  }

  /**
   * Returns the run as it is then. Errors: `not_found`, `failed_precondition` when it has ended, those of Requests.once,
   * and `unavailable`.
   */
  async ask(wish: Wish, { requestId, runId }: RunRequest): Promise<Run> {
    this.#refuseWhenStopping();
    const { requests, registry, driver, stopping } = this.#options;
    const record = registry.get(runId);
    const content = contentOf(wish.rpc, wish.message.encode({ requestId: "", runId }).finish());
    await requests.once(requestId, content, async (answered) => {
      requireUnfinished(record.run, wish);
      await driver.happen(() => {
        // It may have been given up since the call arrived.
        if (record.isOthers && !record.hasEnded) throw changesHands(runId);
        return { input: wish.input(runId), facts: [answered(runId)], alone: true };
      });
      stopping.throwIfAborted();
      return runId;
    });
    return record.run;
  }

  /** As `ask`, and waits for the run's end. Errors: `cancelled` besides, when `signal` aborts before. */
  async askForEnd(wish: Wish, request: RunRequest, signal: AbortSignal): Promise<Run> {
    const { registry, driver, stopping } = this.#options;
    const { runId } = request;
    await this.ask(wish, request);
    const record = registry.get(runId);
    // A repeated request, perhaps interrupted before: the run's end is what counts.
    if (!record.hasEnded) await driver.happen({ input: wish.input(runId) });
    await record.ended(AbortSignal.any([signal, stopping])).catch((error: unknown) => {
      throw this.explained(error);
    });
    requireUnfinished(record.run, wish);
    return record.run;
  }

  /** Errors: `not_found`, `failed_precondition` when it has not ended, those of Requests.once, and `unavailable`. */
  async delete({ requestId, runId }: RunRequest): Promise<void> {
    this.#refuseWhenStopping();
    const { requests, driver, stopping } = this.#options;
    const content = contentOf("DeleteRun", DeleteRunRequest.encode({ requestId: "", runId }).finish());
    await requests.once(requestId, content, async (answered) => {
      await driver.happen(() => ({ facts: [this.#deleted(runId), answered(runId)], alone: true }));
      stopping.throwIfAborted();
      return runId;
    });
  }

  /** Deletes the runs that ended before `time`, one by one, so that others' turns come in between; returns how many. */
  async deleteEndedBefore(time: Date): Promise<number> {
    const { registry, driver, stopping } = this.#options;
    const old = registry.endedBefore(time);
    for (const { recorded } of old) {
      if (stopping.aborted) break;
      await driver.happen(() => ({ facts: registry.has(recorded.runId) ? [this.#deleted(recorded.runId)] : [] }));
    }
    return old.length;
  }

  #deleted(runId: string): Fact {
    const { hasEnded } = this.#options.registry.get(runId);
    if (hasEnded) return { type: "run-deleted", runId };
    const advice = `cancel it first: gradpool run cancel ${runId}`;
    throw new GradpoolError("failed_precondition", `run ${runId} has not ended; ${advice}`);
  }

  /** A wait that ended because the coordinator stops may be tried again. */
  explained(error: unknown): unknown {
    if (!this.#options.stopping.aborted) return error;
    return new GradpoolError("unavailable", "the coordinator is stopping; try again later", { cause: error });
  }

  #refuseWhenStopping(): void {
    if (this.#options.stopping.aborted) throw this.explained(undefined);
  }

  async #submit(spec: RunSpec | undefined, answered: Answered): Promise<string> {
    const { registry, driver, reporter } = this.#options;
    const traceparent = activeTraceparent();
    let runId = "";
    try {
      const isIn = await driver.submit(() => {
        requireProcessor(spec, driver.state.trainers);
        const run = registry.newRun(spec, traceparent);
        reporter.check(spec);
        ({ runId } = run);
        return { run, facts: [answered(runId)] };
      });
      if (!isIn) throw new GradpoolError("cancelled", "cancelled");
      return runId;
    } catch (error) {
      const { code, message } = GradpoolError.from(error);
      const refused = code === "resource_exhausted" && this.#refusals.refused(message, performance.now());
      if (refused) await driver.happen({ facts: [refused] });
      throw error;
    }
  }
}

/** Errors: `failed_precondition` where the pool has trainers, but none that could compute the run's base_precision. */
function requireProcessor(spec: RunSpec | undefined, trainers: readonly PoolTrainer[]): void {
  const { basePrecision = "" } = spec?.recipe ?? {};
  if (["", "float32"].includes(basePrecision) || trainers.length === 0 || trainers.some(isProcessor)) return;
  const classes = [...new Set(trainers.map(({ deviceClass }) => deviceClass))].join("; ");
  const problem = `base_precision is ${basePrecision}, which processors alone compute, but the pool has only ${classes}`;
  throw new GradpoolError("failed_precondition", `${problem}; start a trainer with --device cpu, or use float32`);
}

/** Errors: `failed_precondition` when the run has ended, unless that is what was asked for. */
function requireUnfinished(run: Run, { verb, fulfilled }: Wish): void {
  const how = ENDS[run.state];
  if (how === undefined || run.state === fulfilled) return;
  const message = `run ${run.runId} has ${how} already; there is nothing to ${verb}`;
  throw new GradpoolError("failed_precondition", message);
}

const ENDS: Partial<Record<RunState, string>> = {
  [RunState.RUN_STATE_COMPLETED]: "completed",
  [RunState.RUN_STATE_FAILED]: "failed",
  [RunState.RUN_STATE_CANCELLED]: "been cancelled",
};
