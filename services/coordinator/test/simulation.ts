/**
 * A seeded world around the core: data streams, an optimizer, and trainers behind a network that delays,
 * loses, doubles and reorders. Everything follows from the seed, so a failing one fails again.
 */
import assert from "node:assert/strict";
import { emptyPool, type Effect, type Event, type PoolState, type TaskState } from "../src/core/state.js";
import { nextMicroBatch, step } from "../src/core/step.js";
import { gradientOf, mix, randomOf, stepsOf, type SimulatedRun } from "./simulated-run.js";

const LEASE_MS = 10_000;
const HEARTBEAT_MS = 2_000;
const TRAINER_TASKS = 2;
/** After this, nothing goes wrong any more, so that every run must end. */
const CALM_MS = 60_000;
const MOST_EVENTS = 200_000;

/** The caller's side of a run: as the coordinator, it adds accepted results in the order of micro-batches. */
interface RunSide {
  run: SimulatedRun;
  adapter: number;
  steps: number;
  early: Map<number, number>;
  sum: number[];
  /** Of the trainers whose results were accepted. */
  deviceClass: string | undefined;
  outcome: string | undefined;
}

interface TrainerSide {
  trainerId: string;
  deviceClass: string;
  /** Of this connection; what arrives for another is lost. */
  connection: number;
  alive: boolean;
  queue: TaskState[];
  busy: boolean;
}

export interface SimulationOptions {
  seed: number;
  runs: SimulatedRun[];
  trainers: number;
  deviceClasses?: number;
  /** Chance that a trainer dies with a task, and that a result is lost, doubled or fails. */
  deaths: number;
  losses: number;
  /** Runs to cancel at some moment. */
  cancelled?: string[];
}

export class Simulation {
  readonly #random: () => number;
  readonly #options: SimulationOptions;
  #state: PoolState = emptyPool();
  #nowMs = 0;
  #events = 0;
  #order = 0;
  readonly #agenda: { atMs: number; order: number; act: () => void }[] = [];
  readonly #runs = new Map<string, RunSide>();
  readonly #trainers = new Map<string, TrainerSide>();
  #connections = 0;
  readonly #failures = new Map<string, number>();
  /** Of each run with waiting work: the runs that were given a place that it could have had. */
  readonly #passedOver = new Map<string, Set<string>>();

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = randomOf(options.seed);
    for (const run of options.runs) {
      this.#runs.set(run.runId, {
        run,
        adapter: 1,
        steps: 0,
        early: new Map(),
        sum: [],
        deviceClass: undefined,
        outcome: undefined,
      });
      this.#in(this.#upTo(5_000), () => this.#tell({ type: "run-submitted", runId: run.runId }));
    }
    for (const runId of options.cancelled ?? []) {
      this.#in(this.#upTo(30_000), () => this.#tell({ type: "run-cancelled", runId }));
    }
    for (let i = 0; i < options.trainers; i++) {
      const deviceClass = `class-${i % (options.deviceClasses ?? 1)}`;
      this.#in(this.#upTo(5_000), () => this.#join(`trainer-${i}`, deviceClass));
    }
    this.#in(0, () => this.#tick());
  }

  /** Plays until every run has ended; gives each run's outcome and adapter. */
  play(): Map<string, { outcome: string; adapter: number }> {
    while ([...this.#runs.values()].some(({ outcome }) => outcome === undefined)) {
      const next = this.#agenda.shift();
      assert.ok(next && ++this.#events < MOST_EVENTS, "a run never ends");
      this.#nowMs = next.atMs;
      next.act();
    }
    assert.deepEqual([this.#state.runs, this.#state.tasks], [[], []], "the core keeps what has ended");
    return new Map([...this.#runs].map(([runId, { outcome = "", adapter }]) => [runId, { outcome, adapter }]));
  }

  #upTo(ms: number): number {
    return Math.floor(this.#random() * ms);
  }

  #happens(chance: number): boolean {
    return this.#nowMs < CALM_MS && this.#random() < chance;
  }

  #in(ms: number, act: () => void): void {
    const entry = { atMs: this.#nowMs + ms, order: this.#order++, act };
    let place = this.#agenda.length;
    while (place > 0 && (this.#agenda[place - 1]?.atMs ?? 0) > entry.atMs) place -= 1;
    this.#agenda.splice(place, 0, entry);
  }

  #tick(): void {
    this.#tell({ type: "time-passed", nowMs: this.#nowMs, leaseMs: LEASE_MS });
    this.#in(1_000, () => this.#tick());
  }

  #tell(event: Event): void {
    const before = this.#state;
    const [after, effects] = step(before, event);
    this.#state = after;
    this.#noteWaiting();
    for (const effect of effects) this.#obey(effect);
  }

  #obey(effect: Effect): void {
    switch (effect.type) {
      case "prepare": {
        const { runId, gradientAccumulation } = this.#runOf(effect.runId).run;
        const totalSteps = stepsOf(this.#runOf(runId).run).length;
        this.#in(this.#upTo(3_000), () =>
          this.#tell({ type: "run-prepared", runId, gradientAccumulation, totalSteps }),
        );
        break;
      }
      case "open-stream":
        this.#stream(this.#runOf(effect.runId).run, 0);
        break;
      case "assign":
        this.#assign(effect.trainerId, effect.task);
        break;
      case "cancel-task":
        this.#cancel(effect.trainerId, effect.taskId);
        break;
      case "accept-result":
        this.#accept(effect.task);
        break;
      case "apply-step":
        this.#apply(effect);
        break;
      case "finish":
        this.#in(this.#upTo(500), () => this.#tell({ type: "run-finished", runId: effect.runId }));
        break;
      case "end-run": {
        const run = this.#runOf(effect.runId);
        assert.equal(run.outcome, undefined, "a run ends once");
        run.outcome = effect.outcome;
        this.#passedOver.delete(effect.runId);
        break;
      }
      case "drop-result":
      case "disconnect":
        break;
    }
  }

  #runOf(runId: string): RunSide {
    const run = this.#runs.get(runId);
    assert.ok(run);
    return run;
  }

  #stream(run: SimulatedRun, index: number): void {
    if (index === run.epochs * run.microBatchesPerEpoch) return;
    this.#in(this.#upTo(100), () => {
      const lastOfEpoch = (index + 1) % run.microBatchesPerEpoch === 0;
      this.#tell({ type: "micro-batch-arrived", runId: run.runId, lastOfEpoch });
      this.#stream(run, index + 1);
    });
  }

  /** I3: one result of a micro-batch, for the step that is being made; I2: from one class of devices. */
  #accept({ trainerId, runId, step: number, microBatch }: TaskState): void {
    const run = this.#runOf(runId);
    const deviceClass = this.#trainers.get(trainerId)?.deviceClass;
    run.deviceClass ??= deviceClass;
    assert.equal(deviceClass, run.deviceClass, "a run was served by two classes of devices");
    assert.equal(number, run.steps + 1, "a result of another step was accepted");
    assert.ok(microBatch >= run.sum.length && !run.early.has(microBatch), "a micro-batch was accepted twice");
    run.early.set(microBatch, gradientOf(run.adapter, microBatch));
    for (let next; (next = run.early.get(run.sum.length)) !== undefined;) {
      run.early.delete(run.sum.length);
      run.sum.push(next);
    }
  }

  /** I1: the step's micro-batches, each once, in order. */
  #apply({ runId, step: number }: { runId: string; step: number }): void {
    const run = this.#runOf(runId);
    assert.equal(number, run.steps + 1, "a step was made twice or left out");
    assert.equal(run.sum.length, stepsOf(run.run)[run.steps], "a step lacks a micro-batch or has one too many");
    assert.equal(run.early.size, 0);
    this.#in(this.#upTo(200), () => {
      if (run.outcome !== undefined) return;
      run.adapter = run.sum.reduce(mix, run.adapter);
      run.sum = [];
      run.steps += 1;
      this.#tell({ type: "step-applied", runId });
    });
  }

  #join(trainerId: string, deviceClass: string): void {
    const connection = ++this.#connections;
    const trainer = { trainerId, deviceClass, connection, alive: true, queue: [], busy: false };
    this.#trainers.set(trainerId, trainer);
    this.#tell({ type: "trainer-joined", trainerId, deviceClass, nowMs: this.#nowMs });
    this.#pull(trainer, TRAINER_TASKS);
    this.#beat(trainer);
  }

  /** On the trainer's connection: in order, unless the connection is gone when it arrives. */
  #say(trainer: TrainerSide, event: Event): void {
    if (trainer.alive) this.#in(5, () => this.#isConnected(trainer) && this.#tell(event));
  }

  #isConnected({ trainerId, connection }: TrainerSide): boolean {
    return this.#trainers.get(trainerId)?.connection === connection;
  }

  #pull(trainer: TrainerSide, tasks: number): void {
    this.#say(trainer, { type: "trainer-pulled", trainerId: trainer.trainerId, tasks, nowMs: this.#nowMs });
  }

  #beat(trainer: TrainerSide): void {
    if (!trainer.alive) return;
    this.#say(trainer, { type: "trainer-heard", trainerId: trainer.trainerId, nowMs: this.#nowMs });
    this.#in(HEARTBEAT_MS, () => this.#beat(trainer));
  }

  #assign(trainerId: string, task: TaskState): void {
    const trainer = this.#trainers.get(trainerId);
    assert.ok(trainer, "a task was given to a trainer that never joined");
    this.#checkFairness(trainer, task.runId);
    const { connection } = trainer;
    this.#in(5 + this.#upTo(20), () => {
      if (!trainer.alive || trainer.connection !== connection) return;
      trainer.queue.push(task);
      assert.ok(trainer.queue.length <= TRAINER_TASKS, "a trainer was sent more tasks than it has room for");
      if (!trainer.busy) this.#compute(trainer);
    });
  }

  #cancel(trainerId: string, taskId: string): void {
    const trainer = this.#trainers.get(trainerId);
    this.#in(5 + this.#upTo(20), () => {
      if (!trainer?.alive) return;
      const place = trainer.queue.findIndex((task) => task.taskId === taskId);
      // The first one computes: its result comes all the same.
      if (place < 1) return;
      trainer.queue.splice(place, 1);
      this.#pull(trainer, 1);
    });
  }

  #compute(trainer: TrainerSide): void {
    const [task] = trainer.queue;
    trainer.busy = task !== undefined;
    if (!task) return;
    this.#in(20 + this.#upTo(400), () => {
      if (!trainer.alive) return;
      if (this.#happens(this.#options.deaths)) return this.#die(trainer);
      this.#answer(trainer, task);
      trainer.queue.shift();
      this.#pull(trainer, 1);
      this.#compute(trainer);
    });
  }

  /** A result goes its own way, which may be long, double or lost; a loss is told as a failure. */
  #answer(trainer: TrainerSide, task: TaskState): void {
    const { taskId } = task;
    const lost = this.#happens(this.#options.losses) && this.#mayFail(task);
    const copies = lost ? Number(this.#happens(0.5)) : this.#happens(this.#options.losses) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const delayMs = this.#happens(0.1) ? this.#upTo(2 * LEASE_MS) : this.#upTo(30);
      this.#in(delayMs, () => this.#tell({ type: "result-arrived", taskId }));
    }
    if (!lost) return;
    const failure = { permanent: false, code: "unavailable", message: "the connection broke" };
    this.#say(trainer, { type: "task-failed", taskId, ...failure });
  }

  /** Fewer failures of a micro-batch than fail its run. */
  #mayFail({ runId, step: number, microBatch }: TaskState): boolean {
    const key = `${runId}/${number}/${microBatch}`;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    if (failures > 2) return false;
    this.#failures.set(key, failures);
    return true;
  }

  /** With a goodbye, without one, or only its connection; it comes back later. */
  #die(trainer: TrainerSide): void {
    const { trainerId, deviceClass } = trainer;
    trainer.alive = false;
    if (this.#random() < 0.5) {
      this.#in(5, () => this.#isConnected(trainer) && this.#tell({ type: "trainer-left", trainerId }));
    }
    this.#in(this.#upTo(2 * LEASE_MS), () => this.#join(trainerId, deviceClass));
  }

  /** I8: while a run has work waiting, any other is given at most one place that it could have had. */
  #checkFairness(trainer: TrainerSide, served: string): void {
    for (const [runId, others] of this.#passedOver) {
      const deviceClass = this.#state.runs.find((run) => run.runId === runId)?.deviceClass;
      if (runId === served || (deviceClass !== undefined && deviceClass !== trainer.deviceClass)) continue;
      assert.ok(!others.has(served), `${served} was served twice while ${runId} waited`);
      others.add(served);
    }
    this.#passedOver.set(served, new Set());
    this.#noteWaiting();
  }

  /** Forgets the runs that have no work waiting, and notes those that now have. */
  #noteWaiting(): void {
    for (const run of this.#state.runs) {
      if (nextMicroBatch(run) === undefined) this.#passedOver.delete(run.runId);
      else if (!this.#passedOver.has(run.runId)) this.#passedOver.set(run.runId, new Set());
    }
  }
}
