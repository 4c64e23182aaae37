/** The trainers' side of the driver: their conversations, and what they send. */
import { GradpoolError } from "@gradpool/errors";
import {
  MAX_FAILURE_CHARACTERS,
  RunState,
  type Heartbeat,
  type ResultHeader,
  type TaskFailed,
  type Trainer,
  type TrainerHello,
  type Welcome,
} from "@gradpool/rpc";
import { OTHER, type Logger } from "@gradpool/service-kit";
import { canServe, isActive, trainerOf } from "./core/lookup.js";
import { shortageOf } from "./core/memory.js";
import type { TrainerEffect } from "./core/effects.js";
import type { PoolRun, SignOfLife } from "./core/state.js";
import type { Driver } from "./driver/driver.js";
import type { TrainersPort } from "./driver/ports.js";
import type { Fact } from "./facts.js";
import type { CoordinatorMetrics } from "./metrics/coordinator-metrics.js";
import type { RunRegistry } from "./record/run-registry.js";
import { platformName, type Platform } from "./runs/platform.js";
import type { TrainingRun } from "./runs/training-run.js";
import type { RunTraces } from "./traces/run-traces.js";
import { TrainerConnection } from "./trainer-connection.js";

/** Of a failure: any that is known is shorter. */
const MAX_CODE_CHARACTERS = 64;

export interface Leases {
  /** How often trainers send heartbeats, and leases are checked. */
  heartbeatMs: number;
  /** A trainer that is silent for longer is lost. */
  leaseMs: number;
}

export const DEFAULT_LEASES: Leases = { heartbeatMs: 2_000, leaseMs: 10_000 };

/** What trainers are told of the pool's coordinators. */
export interface Members {
  /** Of this process. */
  coordinatorId: string;
  /** "host:port" of each that lives; empty: this is the only one, and trainers know its address. */
  addresses(): readonly string[];
}

/** The driver, with a coordinator's runs. */
export type Runs = Driver<TrainingRun>;

export interface TrainerPoolOptions {
  driver: Runs;
  traces: RunTraces;
  registry: RunRegistry;
  log: Logger;
  leases: Leases;
  members: Members;
  metrics: CoordinatorMetrics;
  /** Trainers that are given no work, by request. */
  drained: readonly string[];
}

export class TrainerPool implements TrainersPort, Disposable {
  readonly #options: TrainerPoolOptions;
  readonly #connections = new Map<string, TrainerConnection>();
  readonly #drained: Set<string>;
  readonly #clock: NodeJS.Timeout;
  /** Trainers whose latest sign of life is queued: another one adds nothing. */
  readonly #heard = new Map<string, { nowMs: number } & SignOfLife>();
  #ticking = false;

  constructor(options: TrainerPoolOptions) {
    this.#options = options;
    this.#drained = new Set(options.drained);
    this.#clock = setInterval(() => void this.#tick(), options.leases.heartbeatMs);
  }

  /** Whether the trainer is here already, by another address, and says so. */
  knows({ coordinatorIds }: TrainerHello): boolean {
    return coordinatorIds.includes(this.#options.members.coordinatorId);
  }

  get welcome(): Welcome {
    const { leases, members } = this.#options;
    return { ...leases, coordinatorId: members.coordinatorId, memberAddresses: [...members.addresses()] };
  }

  /** The newer connection of a trainer replaces the older. */
  join(hello: TrainerHello): TrainerConnection {
    const { driver, log } = this.#options;
    const { trainerId, memoryBytes, largestBufferBytes } = hello;
    const current = this.#connections.get(trainerId);
    if (current && !current.isOfSameProcess(hello)) throw inUse(current, hello);
    current?.outgoing.end();
    const connection = new TrainerConnection(hello, now().nowMs);
    this.#connections.set(trainerId, connection);
    connection.send({ $case: "welcome", value: this.welcome });
    const deviceClass = platformName(hello);
    log.info({ trainerId, deviceClass }, "trainer joined");
    const draining = this.#drained.has(trainerId);
    const { nonce } = connection;
    const device = { deviceClass, memoryBytes, largestBufferBytes };
    void driver.happen({ input: { type: "trainer-joined", trainerId, draining, nonce, ...device } });
    return connection;
  }

  leave(connection: TrainerConnection): void {
    const { trainerId } = connection;
    connection.outgoing.end();
    if (!this.#isCurrent(connection)) return;
    this.#connections.delete(trainerId);
    this.#options.log.info({ trainerId }, "trainer left");
    void this.#options.driver.happen({ input: { type: "trainer-left", trainerId } });
  }

  pulled(connection: TrainerConnection, tasks: number): void {
    if (!this.#isCurrent(connection)) return;
    const { trainerId } = connection;
    void this.#options.driver.happen({ input: { type: "trainer-pulled", trainerId, tasks } });
  }

  heard(connection: TrainerConnection, heartbeat: Heartbeat): void {
    if (!this.#isCurrent(connection)) return;
    const { trainerId } = connection;
    connection.heard(heartbeat, now().nowMs);
    const waiting = this.#heard.get(trainerId);
    const { taskId: computing, tasksElsewhere, waiting: isWaiting, stuckElsewhere } = heartbeat;
    const sign = { ...now(), computing, tasksElsewhere, waiting: isWaiting, stuckElsewhere };
    if (waiting) return void Object.assign(waiting, sign);
    this.#heard.set(trainerId, sign);
    const newest = () => {
      this.#heard.delete(trainerId);
      return { type: "trainer-heard" as const, trainerId, ...sign };
    };
    void this.#options.driver.happen({ input: newest });
  }

  taskFailed(connection: TrainerConnection, { taskId, permanent, code: given, message: text }: TaskFailed): void {
    const { driver, log } = this.#options;
    const [code, message] = [given.slice(0, MAX_CODE_CHARACTERS), text.slice(0, MAX_FAILURE_CHARACTERS)];
    const { trainerId } = connection;
    if (!this.#isCurrent(connection) || driver.taskOf(taskId)?.trainerId !== trainerId) return;
    log.warn({ trainerId, taskId, permanent, code }, message);
    void driver.happen({ input: { type: "task-failed", taskId, permanent, code, message } });
  }

  /**
   * Memory for the gradients of a result; undefined when it is no longer needed. Errors: `invalid_argument` when they are larger
   * than the adapter.
   */
  gradientsMemory({ taskId, gradientBytes }: ResultHeader): Uint8Array | undefined {
    const { driver } = this.#options;
    const task = driver.taskOf(taskId);
    return task && driver.run(task.runId).gradientsMemory(task, gradientBytes);
  }

  /**
   * Whether the result counts (I3). Errors: `invalid_argument` when it is not what the task asked for;
   * the trainer then reports the task as failed.
   */
  async result(header: ResultHeader, gradients: Uint8Array): Promise<boolean> {
    const { driver } = this.#options;
    const { trainerId, taskId, computeMs, waitMs, fetchMs } = header;
    const task = driver.taskOf(taskId);
    if (!task || task.trainerId !== trainerId) return false;
    const run = driver.run(task.runId);
    const result = run.readResult(task, header, gradients);
    const accepted = await driver.result(taskId, { ...result, computeMs, waitMs, fetchMs });
    if (!accepted) run.drop(result);
    const connection = this.#connections.get(trainerId);
    if (accepted) connection?.finished(header, now().nowMs);
    this.#options.metrics.result(header, task, accepted, connection?.platform.deviceClass ?? OTHER);
    return accepted;
  }

  trainers(): Trainer[] {
    return [...this.#connections.values()].map((connection) => this.#describe(connection));
  }

  /**
   * Records whether a trainer is given work, along with `answered`.
   * Errors: `not_found` when it is neither drained nor in the pool.
   */
  async drain(trainerId: string, draining: boolean, answered: Fact): Promise<void> {
    if (!this.#drained.has(trainerId)) this.trainer(trainerId);
    await this.#options.driver.happen(() => {
      if (draining) this.#drained.add(trainerId);
      else this.#drained.delete(trainerId);
      const input = { type: "trainer-drained" as const, trainerId, draining };
      return { input, facts: [{ type: "drain-requested", trainerId, draining }, answered], alone: true };
    });
  }

  /** Another coordinator has recorded which trainers are given no work. */
  learnDrained(trainerIds: readonly string[]): void {
    const drained = new Set(trainerIds);
    for (const trainerId of new Set([...drained, ...this.#drained])) {
      const draining = drained.has(trainerId);
      if (draining === this.#drained.has(trainerId)) continue;
      if (draining) this.#drained.add(trainerId);
      else this.#drained.delete(trainerId);
      void this.#options.driver.happen({ input: { type: "trainer-drained", trainerId, draining } });
    }
  }

  /** Errors: `not_found`. */
  trainer(trainerId: string): Trainer {
    const connection = this.#connections.get(trainerId);
    if (connection) return this.#describe(connection);
    const names = [...this.#connections.keys()].join(", ") || "none";
    throw new GradpoolError("not_found", `there is no trainer ${trainerId}; the pool has: ${names}`);
  }

  platforms(): Platform[] {
    return [...this.#connections.values()].map(({ platform }) => platform);
  }

  endRun(runId: string): void {
    for (const connection of this.#connections.values()) connection.send({ $case: "endRun", value: { runId } });
  }

  /** The pool's coordinators have changed. */
  announceMembers(): void {
    const addresses = [...this.#options.members.addresses()];
    for (const connection of this.#connections.values()) connection.send({ $case: "members", value: { addresses } });
  }

  carryOut(effect: TrainerEffect): void {
    const { driver, traces, log } = this.#options;
    const { trainerId } = effect;
    const connection = this.#connections.get(trainerId);
    if (effect.type === "assign") {
      // Meant for the previous connection: the core will learn in a moment that it is gone.
      if (!connection?.isFor(effect.task)) return;
      const run = driver.run(effect.task.runId);
      const traceparent = traces.traceparentOf(effect.task);
      connection.send({ $case: "task", value: { ...run.taskMessage(effect.task, connection), traceparent } });
    } else if (effect.type === "cancel-task") {
      connection?.send({ $case: "cancel", value: { taskId: effect.taskId } });
    } else {
      this.#connections.delete(trainerId);
      log.warn({ trainerId }, "trainer is silent; reassigning its work");
      connection?.outgoing.end();
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#clock);
    for (const connection of this.#connections.values()) connection.outgoing.end();
  }

  #isCurrent(connection: TrainerConnection): boolean {
    return this.#connections.get(connection.trainerId) === connection;
  }

  #describe(connection: TrainerConnection): Trainer {
    const { state } = this.#options.driver;
    const task = state.tasks.find(({ trainerId }) => trainerId === connection.trainerId);
    return connection.describe(task?.runId ?? "", trainerOf(state, connection.trainerId), now().nowMs);
  }

  /** While the event loop is blocked, only one tick is queued. */
  async #tick(): Promise<void> {
    if (this.#ticking) return;
    this.#ticking = true;
    const { driver, leases } = this.#options;
    // The time is taken now, not at its turn: signs of life that arrive in between have their turns after it.
    await driver.happen({ input: { type: "time-passed", leaseMs: leases.leaseMs } });
    this.#ticking = false;
    this.#explainWaiting();
  }

  /** Records what trainers each run lacks. */
  #explainWaiting(): void {
    const { driver, registry } = this.#options;
    const { trainers } = driver.state;
    const active = trainers.filter(isActive);
    const stuck = trainers.find(({ stuckIn }) => stuckIn !== "")?.quarantineReason ?? "";
    for (const run of driver.state.runs) {
      const { runId, phase } = run;
      const record = registry.get(runId);
      const isRunning = phase === "running" && record.run.state === RunState.RUN_STATE_RUNNING;
      const served = active.some((trainer) => canServe(run, trainer));
      const shortage = shortageOf(active, run);
      const lack = () => (shortage ? `a larger trainer: ${shortage.text}` : lackOf(run, active, stuck));
      const waitingFor = !isRunning || served ? "" : lack();
      if (waitingFor === record.run.waitingFor) continue;
      record.tell({ waitingFor });
      void driver.happen({ facts: [{ type: "run-waits", runId, waitingFor }] });
    }
  }
}

/** A pool takes the name of its trainers from them; what holds a name keeps it. */
function inUse({ platform }: TrainerConnection, { trainerId, host, pid }: TrainerHello): GradpoolError {
  const problem = `trainer_id ${trainerId} is in use by another process, on ${platform.host || "a host without a name"}`;
  const advice = `set another GRADPOOL_TRAINER_ID for process ${pid} on ${host}, or wait until the other has left`;
  return new GradpoolError("already_exists", `${problem}; ${advice}`);
}

function lackOf({ deviceClass }: PoolRun, active: readonly { deviceClass: string }[], stuck: string): string {
  if (active.length === 0) return `a trainer: ${stuck || "none is available"}`;
  const others = [...new Set(active.map((trainer) => trainer.deviceClass))].join("; ");
  const lacking = deviceClass === undefined ? "on a processor, for base_precision" : `of class ${deviceClass}`;
  return `a trainer ${lacking}; the pool has only ${others}`;
}

/** Monotonic, in milliseconds. */
const now = () => ({ nowMs: performance.now() });
