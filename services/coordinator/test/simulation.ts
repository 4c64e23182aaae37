/**
 * A seeded world around the core: clients, data streams, an optimizer, trainers behind a bad network, and a
 * coordinator that crashes between any two durable writes. Everything follows from the seed, so a failing one
 * fails again.
 */
import assert from "node:assert/strict";
import type { Event } from "../src/core/state.js";
import { Agenda } from "./agenda.js";
import { SimulatedCoordinator } from "./simulated-coordinator.js";
import { randomOf, type SimulatedRun } from "./simulated-run.js";
import { SimulatedStore } from "./simulated-store.js";
import { SimulatedTrainers } from "./simulated-trainers.js";

/** After this, nothing goes wrong any more, so that every run must end. */
const CALM_MS = 60_000;
const MOST_EVENTS = 300_000;

export interface SimulationOptions {
  seed: number;
  runs: SimulatedRun[];
  trainers: number;
  deviceClasses?: number;
  /** Chance that a trainer dies with a task; that a result is lost, doubled or fails; that a task takes very long. */
  deaths?: number;
  losses?: number;
  stalls?: number;
  /** Chance that the coordinator crashes at a durable write, and that a save meets a full disk. */
  crashes?: number;
  troubles?: number;
  /** Runs to cancel at some moment. */
  cancelled?: string[];
  /** Runs to pause and resume, some times over. */
  paused?: string[];
}

export class Simulation {
  readonly #agenda = new Agenda();
  readonly #random: () => number;
  readonly #options: SimulationOptions;
  readonly #store: SimulatedStore;
  readonly #trainers: SimulatedTrainers;
  #coordinator: SimulatedCoordinator;
  #requests = 0;
  /** Runs whose pause was answered, until their resumption is asked for. */
  readonly #resting = new Set<string>();

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = randomOf(options.seed);
    this.#store = new SimulatedStore(() => this.#happens(options.crashes ?? 0));
    this.#trainers = new SimulatedTrainers({
      agenda: this.#agenda,
      upTo: (ms) => this.#upTo(ms),
      happens: (chance) => this.#happens(chance),
      ...{ deaths: options.deaths ?? 0, losses: options.losses ?? 0, stalls: options.stalls ?? 0 },
      tell: (event) => void this.#coordinator.tell(event),
      isDown: () => this.#coordinator.isDown,
    });
    this.#coordinator = this.#newCoordinator();
    this.#agenda.in(0, () => this.#coordinator.start());
    for (const { runId } of options.runs) this.#later(5_000, () => this.#ask({ type: "run-submitted", runId }));
    for (const runId of options.cancelled ?? [])
      this.#whenKnown(runId, () => this.#ask({ type: "run-cancelled", runId }));
    for (const runId of options.paused ?? []) this.#whenKnown(runId, () => this.#pauseAndResume(runId, 3));
    for (let i = 0; i < options.trainers; i++) {
      const deviceClass = `class-${i % (options.deviceClasses ?? 1)}`;
      this.#later(5_000, () => this.#trainers.join(`trainer-${i}`, deviceClass));
    }
  }

  /** Plays until every run has ended; gives each run's outcome, adapter and evaluations. */
  play(): Map<string, { outcome: string; adapter: number; evaluations: readonly number[] }> {
    const { runs } = this.#store;
    const hasEnded = ({ runId }: SimulatedRun) => runs.get(runId)?.outcome !== undefined;
    for (let events = 0; !this.#options.runs.every(hasEnded); events++) {
      assert.ok(this.#agenda.next() && events < MOST_EVENTS, "a run never ends");
    }
    if (!this.#coordinator.isDown) this.#coordinator.assertEmpty();
    return new Map([...runs].map(([runId, { outcome = "", saved }]) => [runId, { outcome, ...saved }]));
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

  #newCoordinator(): SimulatedCoordinator {
    return new SimulatedCoordinator({
      ...{ agenda: this.#agenda, store: this.#store, runs: this.#options.runs, troubles: this.#options.troubles ?? 0 },
      upTo: (ms) => this.#upTo(ms),
      happens: (chance) => this.#happens(chance),
      assign: (trainerId, task) => {
        assert.ok(!this.#resting.has(task.runId), "a run that rests was given a trainer");
        this.#trainers.assign(trainerId, task);
      },
      cancelTask: (trainerId, taskId) => this.#trainers.cancel(trainerId, taskId),
      deviceClassOf: (trainerId) => this.#trainers.deviceClassOf(trainerId),
      onCrash: () => {
        this.#trainers.disconnectAll();
        this.#later(20_000, () => {
          this.#coordinator = this.#newCoordinator();
          this.#coordinator.start();
        });
      },
    });
  }

  /**
   * A client asks, and asks again with the same request id until it is answered; its answers may get lost, and
   * its requests doubled (I4). `then` is called with the first answer.
   */
  #ask(event: Event & { runId: string }, then: () => void = () => {}): void {
    const requestId = `request-${++this.#requests}`;
    let isAnswered = false;
    const send = () => {
      const subject = this.#coordinator.ask(requestId, event.type, event);
      const isLost = this.#happens(0.2);
      if (subject === undefined || isLost) return this.#agenda.in(500 + this.#upTo(2_000), send);
      assert.equal(subject, event.runId, "a request was answered with another's subject");
      assert.ok(this.#store.requests.has(requestId), "an answer was given that is not recorded");
      assert.equal(this.#coordinator.ask(requestId, "something else", event), "refused");
      if (!isAnswered) then();
      isAnswered = true;
      if (this.#happens(0.2)) this.#later(5_000, send);
    };
    send();
  }

  #whenKnown(runId: string, act: () => void): void {
    this.#later(30_000, () => (this.#store.runs.has(runId) ? act() : this.#whenKnown(runId, act)));
  }

  #pauseAndResume(runId: string, times: number): void {
    if (times === 0 || this.#store.runs.get(runId)?.outcome !== undefined) return;
    this.#ask({ type: "run-paused", runId }, () => {
      this.#resting.add(runId);
      this.#later(8_000, () => {
        this.#resting.delete(runId);
        this.#ask({ type: "run-resumed", runId }, () =>
          this.#later(5_000, () => this.#pauseAndResume(runId, times - 1)),
        );
      });
    });
  }
}
