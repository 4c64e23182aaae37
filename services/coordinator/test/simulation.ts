/**
 * A seeded world around the coordinator's driver: clients, data streams, an optimizer, trainers on a bad network,
 * and crashes before and after any durable write. Everything follows from the seed, so a failing one fails again.
 */
import assert from "node:assert/strict";
import type { Event, Run } from "@gradpool/rpc";
import { hasEnded } from "../src/record/run-record.js";
import type { History } from "../src/store/run-store.js";
import { Agenda } from "./agenda.js";
import { nameOf, SimulatedClients } from "./simulated-clients.js";
import { SimulatedLife } from "./simulated-life.js";
import { randomOf, type SimulatedRun } from "./simulated-run.js";
import { SimulatedStore, type Saved } from "./simulated-store.js";
import { SimulatedTrainers } from "./simulated-trainers.js";

/** After this, nothing goes wrong, so that every run must end. */
const CALM_MS = 60_000;
const MOST_EVENTS = 300_000;

export interface SimulationOptions {
  seed: number;
  runs: SimulatedRun[];
  trainers: number;
  deviceClasses?: number;
  /** Chance that a trainer dies with a task; that a result is lost, duplicated or fails; that a task takes very long. */
  deaths?: number;
  losses?: number;
  stalls?: number;
  /** Chance that a trainer's result looks wrong. */
  doubts?: number;
  /** Chance that the coordinator crashes at a durable write, and that a save meets a full disk. */
  crashes?: number;
  troubles?: number;
  /** Names of runs to cancel at some time. */
  cancelled?: string[];
  /** Names of runs to pause and resume, several times. */
  paused?: string[];
  /** Plant a fault: effects do not wait until the facts are recorded. */
  hasty?: boolean;
}

/** What is left of a run. */
export interface End {
  run: Run;
  saved: Saved | undefined;
  history: History;
  events: Event[];
}

export class Simulation {
  readonly #agenda = new Agenda();
  readonly #random: () => number;
  readonly #options: SimulationOptions;
  readonly #store: SimulatedStore;
  readonly #trainers: SimulatedTrainers;
  #life: SimulatedLife | undefined;
  readonly #clients: SimulatedClients;
  #runIds = 0;
  readonly #failures: unknown[] = [];

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = randomOf(options.seed);
    this.#store = new SimulatedStore(() => this.#happens(options.crashes ?? 0));
    this.#trainers = new SimulatedTrainers({
      agenda: this.#agenda,
      upTo: (ms) => this.#upTo(ms),
      happens: (chance) => this.#happens(chance),
      ...{ deaths: options.deaths ?? 0, losses: options.losses ?? 0, stalls: options.stalls ?? 0 },
      doubts: options.doubts ?? 0,
      tell: (input) => this.#life?.happen(input),
      isDown: () => this.#life?.isDown ?? true,
    });
    this.#clients = new SimulatedClients({
      ...{ agenda: this.#agenda, store: this.#store },
      upTo: (ms) => this.#upTo(ms),
      happens: (chance) => this.#happens(chance),
      coordinator: () => this.#life,
      onFailure: (error) => this.#failures.push(error),
    });
    this.#agenda.in(0, () => void this.#start());
    for (const { name } of options.runs) this.#later(5_000, () => this.#clients.submit(name));
    for (const name of options.cancelled ?? []) this.#clients.cancel(name);
    for (const name of options.paused ?? []) this.#clients.pauseAndResume(name);
    for (let i = 0; i < options.trainers; i++) {
      const deviceClass = `class-${i % (options.deviceClasses ?? 1)}`;
      this.#later(5_000, () => this.#trainers.join(`trainer-${i}`, deviceClass));
    }
  }

  /** Plays until every run has ended; gives what is left of each, by name. */
  async play(): Promise<Map<string, End>> {
    const { runs, histories, eventLog, saved } = this.#store;
    const isOver = () => runs.size === this.#options.runs.length && [...runs.values()].every(hasEnded);
    for (let events = 0; !isOver(); events++) {
      const goesOn = await this.#agenda.next();
      if (this.#failures.length > 0) throw this.#failures[0] as Error;
      assert.ok(goesOn && events < MOST_EVENTS, "a run never ends");
    }
    if (this.#life?.isDown === false) this.#life.assertEmpty();
    return new Map(
      [...runs.values()].map((run) => {
        const events = eventLog.flatMap(({ event }) => (event.runId === run.runId ? [event] : []));
        const history = histories.get(run.runId) ?? [];
        return [nameOf(run), { run, saved: saved.get(run.runId), history, events }];
      }),
    );
  }

  #upTo(ms: number): number {
    return Math.floor(this.#random() * ms);
  }

  #happens(chance: number): boolean {
    return chance > 0 && this.#agenda.nowMs < CALM_MS && this.#random() < chance;
  }

  #later(ms: number, act: () => void): void {
    this.#agenda.in(this.#upTo(ms), act);
  }

  async #start(): Promise<void> {
    const { runs, troubles = 0, hasty = false } = this.#options;
    this.#life = await SimulatedLife.start({
      ...{ agenda: this.#agenda, store: this.#store, troubles, hasty },
      upTo: (ms) => this.#upTo(ms),
      happens: (chance) => this.#happens(chance),
      newRunId: () => `run-id-${++this.#runIds}`,
      shapeOf: (run) => runs.find(({ name }) => name === nameOf(run)) as SimulatedRun,
      assign: (trainerId, task, adapter) => {
        assert.ok(!this.#clients.isResting(task.runId), "a run that rests was given a trainer");
        this.#trainers.assign(trainerId, task, adapter);
      },
      cancelTask: (trainerId, taskId) => this.#trainers.cancel(trainerId, taskId),
      deviceClassOf: (trainerId) => this.#trainers.deviceClassOf(trainerId),
      onCrash: () => {
        this.#trainers.disconnectAll();
        this.#later(20_000, () => void this.#start());
      },
      onFailure: (error) => this.#failures.push(error),
    });
  }
}
