/**
 * Where the core meets the world: events go in one at a time, effects are carried out in order. What
 * takes time runs on its own and reports back with an event.
 */
import { GradpoolError } from "@gradpool/errors";
import { RunState, type ResultHeader, type RunSpec, type Trainer, type TrainerHello } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import { emptyPool, type Effect, type Event, type PoolState } from "./core/state.js";
import { step } from "./core/step.js";
import { TrainerConnection } from "./pool.js";
import { ActiveRun } from "./runs/active-run.js";
import type { CompleteRecipe } from "./runs/prepare.js";
import type { RunRecord } from "./runs/run-record.js";
import type { Services } from "./services.js";

/** A trainer that is silent for longer counts as lost. */
export const LEASE_MS = 10_000;
/** How often a trainer is to be heard, and how often leases are checked. */
export const HEARTBEAT_MS = 2_000;

const OUTCOMES = {
  completed: RunState.RUN_STATE_COMPLETED,
  failed: RunState.RUN_STATE_FAILED,
  cancelled: RunState.RUN_STATE_CANCELLED,
} as const;

export class Engine implements AsyncDisposable {
  readonly #services: Services;
  readonly #log: Logger;
  readonly #active = new Map<string, ActiveRun>();
  readonly #records = new Map<string, RunRecord>();
  readonly #connections = new Map<string, TrainerConnection>();
  readonly #ending = new Set<Promise<void>>();
  readonly #leaseCheck: NodeJS.Timeout;
  #state: PoolState = emptyPool();
  #events: Event[] = [];
  #dispatching = false;
  /** The result that the event being handled is about. */
  #result: { header: ResultHeader; gradients: Uint8Array; accepted: boolean } | undefined;

  constructor(services: Services, log: Logger) {
    this.#services = services;
    this.#log = log;
    this.#leaseCheck = setInterval(() => {
      this.#dispatch({ type: "time-passed", nowMs: performance.now(), leaseMs: LEASE_MS });
    }, HEARTBEAT_MS);
  }

  submit(runId: string, spec: RunSpec, recipe: CompleteRecipe, record: RunRecord): void {
    this.#records.set(runId, record);
    this.#active.set(runId, new ActiveRun(runId, spec, recipe, record, this.#services));
    this.#dispatch({ type: "run-submitted", runId });
  }

  cancel(runId: string): void {
    this.#dispatch({ type: "run-cancelled", runId });
  }

  /** The newer connection of a trainer replaces the older. */
  join(hello: TrainerHello): TrainerConnection {
    this.#connections.get(hello.trainerId)?.outgoing.end();
    const connection = new TrainerConnection(hello);
    this.#connections.set(hello.trainerId, connection);
    connection.send({ $case: "welcome", value: { heartbeatMs: HEARTBEAT_MS, leaseMs: LEASE_MS } });
    const { trainerId, deviceClass } = hello;
    this.#log.info({ trainerId, deviceClass }, "trainer joined");
    this.#dispatch({ type: "trainer-joined", trainerId, deviceClass, nowMs: performance.now() });
    return connection;
  }

  leave(connection: TrainerConnection): void {
    const { trainerId } = connection;
    connection.outgoing.end();
    if (this.#connections.get(trainerId) !== connection) return;
    this.#connections.delete(trainerId);
    this.#log.info({ trainerId }, "trainer left");
    this.#dispatch({ type: "trainer-left", trainerId });
  }

  pulled({ trainerId }: TrainerConnection, tasks: number): void {
    this.#dispatch({ type: "trainer-pulled", trainerId, tasks, nowMs: performance.now() });
  }

  heard(connection: TrainerConnection, residentBytes: number): void {
    connection.heard(residentBytes);
    this.#dispatch({ type: "trainer-heard", trainerId: connection.trainerId, nowMs: performance.now() });
  }

  taskFailed(taskId: string, permanent: boolean, code: string, message: string): void {
    this.#log.warn({ taskId, permanent, code }, message);
    this.#dispatch({ type: "task-failed", taskId, permanent, code, message });
  }

  /** Whether the result counts (I3). */
  result(header: ResultHeader, gradients: Uint8Array): boolean {
    const { trainerId, taskId, runId, step: number, microBatch } = header;
    const result = { header, gradients, accepted: false };
    this.#result = result;
    this.#dispatch({ type: "result-arrived", taskId, runId, step: number, microBatch });
    this.#result = undefined;
    if (result.accepted) this.#connections.get(trainerId)?.finished(header);
    return result.accepted;
  }

  /** Errors: `not_found` when the run is over or at another version. */
  adapterFile(runId: string, version: number): Uint8Array {
    const run = this.#active.get(runId);
    if (!run) throw new GradpoolError("not_found", `run ${runId} is over`);
    return run.adapterFile(version);
  }

  trainers(): Trainer[] {
    return [...this.#connections.values()].map((connection) => {
      const task = this.#state.tasks.find(({ trainerId }) => trainerId === connection.trainerId);
      return connection.describe(task?.runId ?? "");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#leaseCheck);
    for (const connection of this.#connections.values()) connection.outgoing.end();
    await Promise.all([...this.#active.values()].map((run) => run.end()));
    await Promise.all(this.#ending);
  }

  /** Effects may dispatch again: those events wait until the ones before them are done. */
  #dispatch(event: Event): void {
    this.#events.push(event);
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        const [state, effects] = step(this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#carryOut(effect);
      }
    } finally {
      this.#dispatching = false;
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "assign": {
        const connection = this.#connections.get(effect.trainerId);
        const run = this.#active.get(effect.task.runId);
        if (!connection || !run) throw new Error(`task ${effect.task.taskId} has no trainer or no run`);
        connection.send({ $case: "task", value: run.taskMessage(effect.task, connection.deviceClass) });
        break;
      }
      case "cancel-task":
        this.#connections.get(effect.trainerId)?.send({ $case: "cancel", value: { taskId: effect.taskId } });
        break;
      case "disconnect": {
        const connection = this.#connections.get(effect.trainerId);
        this.#connections.delete(effect.trainerId);
        this.#log.warn({ trainerId: effect.trainerId }, "trainer is silent; its work goes to others");
        connection?.outgoing.end();
        break;
      }
      case "drop-result":
        break;
      case "end-run":
        this.#endRun(effect);
        break;
      default:
        this.#carryOutForRun(effect);
    }
  }

  #carryOutForRun(
    effect: Extract<Effect, { type: "prepare" | "open-stream" | "accept-result" | "apply-step" | "finish" }>,
  ): void {
    const { runId } = effect;
    const run = this.#active.get(runId);
    if (!run) return;
    switch (effect.type) {
      case "prepare":
        this.#report(runId, async () => {
          const facts = await run.prepare();
          this.#dispatch({ type: "run-prepared", runId, ...facts });
        });
        break;
      case "open-stream":
        this.#report(runId, () =>
          run.stream((lastOfEpoch) => this.#dispatch({ type: "micro-batch-arrived", runId, lastOfEpoch })),
        );
        break;
      case "accept-result":
        this.#failing(runId, () => {
          const result = this.#result;
          if (!result) throw new Error("a result was accepted outside of its event");
          run.accept(result.header, result.gradients);
          result.accepted = true;
        });
        break;
      case "apply-step":
        this.#failing(runId, () => {
          run.applyStep((error) => this.#fail(runId, error));
          this.#dispatch({ type: "step-applied", runId });
        });
        break;
      case "finish":
        this.#report(runId, async () => {
          await run.finish();
          this.#dispatch({ type: "run-finished", runId });
        });
        break;
    }
  }

  #endRun({ runId, outcome, code, message }: Effect & { type: "end-run" }): void {
    const run = this.#active.get(runId);
    const record = this.#records.get(runId);
    this.#active.delete(runId);
    this.#records.delete(runId);
    for (const connection of this.#connections.values()) connection.send({ $case: "endRun", value: { runId } });
    this.#log.info({ runId, outcome, code: code || undefined }, message || "run ended");
    // The output folder is free before anyone learns that the run has ended.
    const ending = (async () => {
      await run?.end();
      const error = outcome === "failed" ? { code, message } : undefined;
      record?.update({ state: OUTCOMES[outcome], endedAt: new Date(), preparing: "", error });
    })();
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  /** Runs something that takes time; its failure is the run's. */
  #report(runId: string, work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#fail(runId, error));
  }

  #failing(runId: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(runId, error);
    }
  }

  #fail(runId: string, reason: unknown): void {
    if (!this.#active.has(runId)) return;
    const { code, message } = GradpoolError.from(reason);
    if (code === "internal") this.#log.error({ runId, err: reason }, "run failed unexpectedly");
    this.#dispatch({ type: "run-failed", runId, code, message });
  }
}
