/**
 * Trainers on a network that delays, loses, duplicates and reorders messages; they die, return, and are slow now and
 * then.
 */
import assert from "node:assert/strict";
import type { Input, Task } from "../src/core/state.js";
import type { Agenda } from "./agenda.js";
import { LEASE_MS } from "./simulated-life.js";
import { LONGEST_TURN_MS } from "./simulated-work.js";
import { gradientOf } from "./simulated-run.js";

const HEARTBEAT_MS = 2_000;
const TRAINER_TASKS = 2;

/** A task, and the adapter to compute it with. */
interface Work {
  task: Task;
  adapter: number;
}

interface TrainerSide {
  trainerId: string;
  deviceClass: string;
  /** Of this connection; what arrives for another is lost. */
  connection: number;
  alive: boolean;
  queue: Work[];
  busy: boolean;
}

export interface TrainersOptions {
  agenda: Agenda;
  upTo: (ms: number) => number;
  happens: (chance: number) => boolean;
  /**
   * Chance that a trainer dies with a task, that a result is lost, duplicated or fails, and that a task takes very long.
   */
  deaths: number;
  losses: number;
  stalls: number;
  /** Chance that a result looks wrong. */
  doubts: number;
  /** Sends to the running coordinator. */
  tell: (input: Input) => void;
  isDown: () => boolean;
}

export class SimulatedTrainers {
  readonly #options: TrainersOptions;
  readonly #trainers = new Map<string, TrainerSide>();
  #connections = 0;
  readonly #failures = new Map<string, number>();

  constructor(options: TrainersOptions) {
    this.#options = options;
  }

  deviceClassOf(trainerId: string): string | undefined {
    return this.#trainers.get(trainerId)?.deviceClass;
  }

  /** Dials until the coordinator answers. */
  join(trainerId: string, deviceClass: string): void {
    const { agenda, isDown, upTo, tell } = this.#options;
    if (isDown()) return agenda.in(100 + upTo(2_000), () => this.join(trainerId, deviceClass));
    const connection = ++this.#connections;
    const trainer = { trainerId, deviceClass, connection, alive: true, queue: [], busy: false };
    this.#trainers.set(trainerId, trainer);
    tell({ type: "trainer-joined", trainerId, deviceClass, nonce: String(connection) });
    this.#pull(trainer, TRAINER_TASKS);
    this.#beat(trainer);
  }

  /** The coordinator is gone: all conversations end, and their tasks are forgotten. */
  disconnectAll(): void {
    for (const trainer of this.#trainers.values()) {
      if (!trainer.alive) continue;
      trainer.alive = false;
      const { trainerId, deviceClass } = trainer;
      this.#options.agenda.in(100 + this.#options.upTo(2_000), () => this.join(trainerId, deviceClass));
    }
  }

  assign(trainerId: string, task: Task, adapter: number): void {
    const trainer = this.#trainers.get(trainerId);
    assert.ok(trainer, "a task was given to a trainer that never joined");
    const { connection } = trainer;
    this.#options.agenda.in(5 + this.#options.upTo(20), () => {
      if (!trainer.alive || trainer.connection !== connection) return;
      trainer.queue.push({ task, adapter });
      assert.ok(trainer.queue.length <= TRAINER_TASKS, "a trainer was sent more tasks than it has room for");
      if (!trainer.busy) this.#compute(trainer);
    });
  }

  cancel(trainerId: string, taskId: string): void {
    const trainer = this.#trainers.get(trainerId);
    this.#options.agenda.in(5 + this.#options.upTo(20), () => {
      if (!trainer?.alive) return;
      const place = trainer.queue.findIndex(({ task }) => task.taskId === taskId);
      // The first one computes: its result comes all the same.
      if (place < 1) return;
      trainer.queue.splice(place, 1);
      this.#pull(trainer, 1);
    });
  }

  /** On the trainer's connection: in order, unless the connection is gone when it arrives. */
  #say(trainer: TrainerSide, input: Input): void {
    const { agenda, tell } = this.#options;
    if (trainer.alive) agenda.in(5, () => this.#isConnected(trainer) && tell(input));
  }

  #isConnected({ trainerId, connection, alive }: TrainerSide): boolean {
    return alive && this.#trainers.get(trainerId)?.connection === connection;
  }

  #pull(trainer: TrainerSide, tasks: number): void {
    this.#say(trainer, { type: "trainer-pulled", trainerId: trainer.trainerId, tasks });
  }

  #beat(trainer: TrainerSide): void {
    if (!trainer.alive) return;
    const computing = (trainer.busy && trainer.queue[0]?.task.taskId) || "";
    this.#say(trainer, { type: "trainer-heard", trainerId: trainer.trainerId, computing });
    this.#options.agenda.in(HEARTBEAT_MS, () => this.#beat(trainer));
  }

  #compute(trainer: TrainerSide): void {
    const { agenda, upTo, happens, deaths, stalls } = this.#options;
    const [work] = trainer.queue;
    trainer.busy = work !== undefined;
    if (!work) return;
    const computeMs = happens(stalls) && this.#mayFail(work.task) ? LONGEST_TURN_MS + 5_000 : 20 + upTo(400);
    agenda.in(computeMs, () => {
      if (!trainer.alive) return;
      if (happens(deaths)) return this.#die(trainer);
      this.#answer(trainer, work);
      trainer.queue.shift();
      this.#pull(trainer, 1);
      this.#compute(trainer);
    });
  }

  /** A result takes its own route, and may be late, duplicated or lost; a loss is reported as a failure. */
  #answer(trainer: TrainerSide, { task, adapter }: Work): void {
    const { agenda, upTo, happens, losses, doubts, tell } = this.#options;
    const { taskId, microBatch } = task;
    const lossSum = gradientOf(adapter, microBatch);
    // Right all the same: what it is believed to be decides who computes it, and no bit.
    const doubt = happens(doubts) ? "its loss is NaN" : undefined;
    const result = { lossSum, targetTokens: 1, gradients: new Map(), computeMs: 0, waitMs: 0, fetchMs: 0, doubt };
    const lost = happens(losses) && this.#mayFail(task);
    const copies = lost ? Number(happens(0.5)) : happens(losses) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = happens(0.1) ? upTo(2 * LEASE_MS) : upTo(30);
      agenda.in(delayMs, () => tell({ type: "result-arrived", taskId, result }));
    }
    if (!lost) return;
    const failure = { permanent: false, code: "unavailable", message: "the connection broke" };
    this.#say(trainer, { type: "task-failed", taskId, ...failure });
  }

  /** Fewer failures of a micro-batch than fail its run. */
  #mayFail({ runId, step: number, microBatch }: Task): boolean {
    const key = `${runId}/${number}/${microBatch}`;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    if (failures > 2) return false;
    this.#failures.set(key, failures);
    return true;
  }

  /** With a goodbye, without one, or only its connection; it returns later. */
  #die(trainer: TrainerSide): void {
    const { agenda, upTo, happens, tell } = this.#options;
    const { trainerId, deviceClass, connection } = trainer;
    trainer.alive = false;
    if (happens(0.5)) {
      const isCurrent = () => this.#trainers.get(trainerId)?.connection === connection;
      agenda.in(5, () => isCurrent() && tell({ type: "trainer-left", trainerId }));
    }
    agenda.in(upTo(2 * LEASE_MS), () => this.join(trainerId, deviceClass));
  }
}
