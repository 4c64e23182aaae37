/**
 * Where the core meets the world: events go in one at a time, effects are carried out in order. What
 * takes time runs on its own and reports back with an event.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  RunState,
  type ResultHeader,
  type RunSpec,
  type TaskFailed,
  type Trainer,
  type TrainerHello,
} from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import { emptyPool, type Effect, type Event, type PoolState, type TaskState } from "./core/state.js";
import { step } from "./core/step.js";
import { TrainerConnection } from "./trainer-connection.js";
import { ActiveRun } from "./runs/active-run.js";
import type { CompleteRecipe } from "./runs/prepare.js";
import type { RunRecord } from "./runs/run-record.js";
import type { MicroBatchResult } from "./runs/training.js";
import type { Services } from "./services.js";

export interface Leases {
  /** How often a trainer is to be heard, and how often leases are checked. */
  heartbeatMs: number;
  /** A trainer that is silent for longer counts as lost. */
  leaseMs: number;
}

export const DEFAULT_LEASES: Leases = { heartbeatMs: 2_000, leaseMs: 10_000 };

const OUTCOMES = {
  completed: RunState.RUN_STATE_COMPLETED,
  failed: RunState.RUN_STATE_FAILED,
  cancelled: RunState.RUN_STATE_CANCELLED,
} as const;

type RunEffect = Extract<Effect, { type: "prepare" | "open-stream" | "accept-result" | "apply-step" | "finish" }>;

export class Engine implements AsyncDisposable {
  readonly #services: Services;
  readonly #log: Logger;
  readonly #leases: Leases;
  readonly #active = new Map<string, ActiveRun>();
  readonly #records = new Map<string, RunRecord>();
  readonly #connections = new Map<string, TrainerConnection>();
  readonly #ending = new Set<Promise<void>>();
  readonly #leaseCheck: NodeJS.Timeout;
  #state: PoolState = emptyPool();
  #events: Event[] = [];
  #dispatching = false;
  #stopped = false;
  /** The result that the event being handled is about. */
  #result: { value: MicroBatchResult; accepted: boolean } | undefined;

  constructor(services: Services, log: Logger, leases: Leases) {
    this.#services = services;
    this.#log = log;
    this.#leases = leases;
    this.#leaseCheck = setInterval(() => {
      this.#dispatch({ type: "time-passed", nowMs: performance.now(), leaseMs: leases.leaseMs });
    }, leases.heartbeatMs);
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
    connection.send({ $case: "welcome", value: this.#leases });
    const { trainerId, deviceClass } = hello;
    this.#log.info({ trainerId, deviceClass }, "trainer joined");
    this.#dispatch({ type: "trainer-joined", trainerId, deviceClass, nowMs: performance.now() });
    return connection;
  }

  leave(connection: TrainerConnection): void {
    const { trainerId } = connection;
    connection.outgoing.end();
    if (!this.#isCurrent(connection)) return;
    this.#connections.delete(trainerId);
    this.#log.info({ trainerId }, "trainer left");
    this.#dispatch({ type: "trainer-left", trainerId });
  }

  pulled(connection: TrainerConnection, tasks: number): void {
    if (!this.#isCurrent(connection)) return;
    const { trainerId } = connection;
    this.#dispatch({ type: "trainer-pulled", trainerId, tasks, nowMs: performance.now() });
  }

  heard(connection: TrainerConnection, residentBytes: number): void {
    if (!this.#isCurrent(connection)) return;
    connection.heard(residentBytes);
    this.#dispatch({ type: "trainer-heard", trainerId: connection.trainerId, nowMs: performance.now() });
  }

  taskFailed(connection: TrainerConnection, { taskId, permanent, code, message }: TaskFailed): void {
    const { trainerId } = connection;
    if (!this.#isCurrent(connection) || this.#taskOf(taskId)?.trainerId !== trainerId) return;
    this.#log.warn({ trainerId, taskId, permanent, code }, message);
    this.#dispatch({ type: "task-failed", taskId, permanent, code, message });
  }

  /** Bytes of gradients that the result of a task may have; undefined when nobody waits for it any more. */
  resultLimit(taskId: string): number | undefined {
    const task = this.#taskOf(taskId);
    return task && this.#active.get(task.runId)?.resultLimit();
  }

  /**
   * Whether the result counts (I3). Errors: `invalid_argument` when it is not what the task asked for;
   * the trainer then reports the task as failed.
   */
  result(header: ResultHeader, gradients: Uint8Array): boolean {
    const { trainerId, taskId } = header;
    const task = this.#taskOf(taskId);
    const run = task && this.#active.get(task.runId);
    if (!run) return false;
    const result = { value: run.readResult(task, header, gradients), accepted: false };
    this.#result = result;
    this.#dispatch({ type: "result-arrived", taskId });
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
    this.#stopped = true;
    clearInterval(this.#leaseCheck);
    for (const connection of this.#connections.values()) connection.outgoing.end();
    await Promise.all([...this.#active.values()].map((run) => run.end()));
    await Promise.all(this.#ending);
  }

  #isCurrent(connection: TrainerConnection): boolean {
    return this.#connections.get(connection.trainerId) === connection;
  }

  #taskOf(taskId: string): TaskState | undefined {
    return this.#state.tasks.find((task) => task.taskId === taskId);
  }

  /** Effects may dispatch again: those events wait until the ones before them are done. */
  #dispatch(event: Event): void {
    if (this.#stopped) return;
    this.#events.push(event);
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) {
        const [state, effects] = step(this.#state, next);
        this.#state = state;
        for (const effect of effects) this.#contain(effect);
      }
    } finally {
      this.#dispatching = false;
    }
  }

  /** What goes wrong with one run ends that run and no other. */
  #contain(effect: Effect): void {
    try {
      this.#carryOut(effect);
    } catch (error) {
      if (effect.type === "assign" || effect.type === "accept-result") this.#fail(effect.task.runId, error);
      else throw error;
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "assign": {
        const connection = this.#connections.get(effect.trainerId);
        const run = this.#active.get(effect.task.runId);
        if (!connection || !run) throw new Error(`task ${effect.task.taskId} has no trainer or no run`);
        connection.send({ $case: "task", value: run.taskMessage(effect.task, connection) });
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

  #carryOutForRun(effect: RunEffect): void {
    const runId = effect.type === "accept-result" ? effect.task.runId : effect.runId;
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
        if (!this.#result) throw new Error("a result was accepted outside of its event");
        run.accept(effect.task, this.#result.value);
        this.#result.accepted = true;
        break;
      case "apply-step":
        this.#report(runId, async () => {
          await run.applyStep((error) => this.#fail(runId, error));
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

  #fail(runId: string, reason: unknown): void {
    if (!this.#active.has(runId)) return;
    const { code, message } = GradpoolError.from(reason);
    if (code === "internal") this.#log.error({ runId, err: reason }, "run failed unexpectedly");
    this.#dispatch({ type: "run-failed", runId, code, message });
  }
}
