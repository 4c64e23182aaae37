/**
 * A seeded world around several coordinators that share a run store: clients, trainers that work for all of them, and faults of
 * every machine and network between. Everything follows from the seed, so a failing one fails again.
 */
import assert from "node:assert/strict";
import type { Run } from "@gradpool/rpc";
import { hasEnded } from "../src/record/run-record.js";
import { Agenda } from "./agenda.js";
import { SharedLife } from "./shared-life.js";
import { SharedTrainers, type SharedTrainersOptions } from "./shared-trainers.js";
import { nameOf, SimulatedClients } from "./simulated-clients.js";
import { SimulatedDatabase } from "./simulated-database.js";
import { randomOf, type SimulatedRun } from "./simulated-run.js";
import type { End } from "./simulation.js";

/** How often things go wrong, on average, in milliseconds; undefined: never. */
export interface Faults {
  /** A coordinator is killed. */
  kills?: number;
  /** One is paused, up to three times its lease. */
  pauses?: number;
  /** One is cut off from the database for that long. */
  cuts?: number;
  /** The database is away for all, for up to two leases. */
  outages?: number;
  /** The database's disk is slow for a minute: a commit takes up to a second. */
  slowDisks?: number;
  /** All coordinators are replaced, one by one. */
  upgrades?: number;
  /** A trainer's network is cut, for up to twice its lease. */
  trainerCuts?: number;
  /** A trainer dies: its process, or its machine. */
  trainerDeaths?: number;
}

export interface SharedSimulationOptions {
  seed: number;
  coordinators: number;
  runs: SimulatedRun[];
  trainers: number;
  deviceClasses?: number;
  faults: Faults;
  /** Chances: of a death with a task, of a lost result, of a crash at a write, of a save that meets a full disk. */
  deaths?: number;
  losses?: number;
  crashes?: number;
  troubles?: number;
  cancelled?: string[];
  paused?: string[];
  /** After this, nothing goes wrong, so that every run must end. */
  calmMs: number;
  /** Runs are submitted until then. */
  submitMs?: number;
  leases: { memberMs: number; trainerMs: number; tickMs: number };
  heartbeatMs: number;
  computeMs?: SharedTrainersOptions["computeMs"];
  /** How long a coordinator or a trainer is away at most. */
  awayMs: number;
  checksFairness: boolean;
  recoveryMs?: number;
  saveMs?: number;
  longestTurnMs?: number;
  /** Plant a fault: the database records what a coordinator writes whose runs were taken over. */
  isUnfenced?: boolean;
}

const MOST_EVENTS = 3_000_000;

export class SharedSimulation {
  readonly agenda = new Agenda();
  readonly database: SimulatedDatabase;
  readonly trainers: SharedTrainers;
  /** What went wrong. */
  readonly happened: Record<string, number> = {};
  readonly #random: () => number;
  readonly #options: SharedSimulationOptions;
  /** By place; what has one place has one address. */
  readonly #lives: SharedLife[] = [];
  readonly #clients: SimulatedClients;
  readonly #cutUntilMs: number[] = [];
  #outageUntilMs = 0;
  #slowUntilMs = 0;
  #isUpgrading = false;
  #runIds = 0;
  readonly #failures: unknown[] = [];

  constructor(options: SharedSimulationOptions) {
    const { agenda } = this;
    this.#options = options;
    this.database = new SimulatedDatabase(agenda, options.isUnfenced);
    this.#random = randomOf(options.seed);
    const [upTo, happens] = [(ms: number) => this.#upTo(ms), (chance: number) => this.#happens(chance)];
    const { heartbeatMs, leases, awayMs, deaths = 0, losses = 0 } = options;
    this.trainers = new SharedTrainers({
      ...{ agenda, upTo, happens, heartbeatMs, awayMs, deaths, losses },
      computeMs: options.computeMs ?? (() => 20 + this.#upTo(400)),
      silenceMs: 10_000,
      lives: () => this.#lives.filter(({ isServing }) => isServing),
    });
    this.#clients = new SimulatedClients({
      ...{ agenda, upTo, happens, store: this.database.tables },
      coordinator: () => this.#anyLife(),
      onFailure: (error) => this.#failures.push(error),
    });
    for (let place = 0; place < options.coordinators; place++) agenda.in(upTo(1_000), () => this.#start(place));
    for (const { name } of options.runs) agenda.in(upTo(options.submitMs ?? 5_000), () => this.#clients.submit(name));
    for (const name of options.cancelled ?? []) this.#clients.cancel(name);
    for (const name of options.paused ?? []) this.#clients.pauseAndResume(name);
    for (let i = 0; i < options.trainers; i++) {
      const deviceClass = `class-${i % (options.deviceClasses ?? 1)}`;
      agenda.in(upTo(5_000), () => this.trainers.start(`trainer-${i}`, deviceClass));
    }
    this.#plan(leases.memberMs, leases.trainerMs < Infinity ? leases.trainerMs : 10_000);
  }

  /** Plays until every run has ended; gives what is left of each, by name. */
  async play(): Promise<Map<string, End>> {
    const { runs, histories, eventLog, saved } = this.database.tables;
    const isOver = () => runs.size === this.#options.runs.length && [...runs.values()].every(hasEnded);
    for (let events = 0; !isOver(); events++) {
      await this.#next();
      assert.ok(events < MOST_EVENTS, "a run never ends");
    }
    // What others do is heard a moment later.
    await this.playUntil(this.agenda.nowMs + 1_000);
    // One that was paused or cut off may not know yet that its runs were taken over.
    for (const life of this.#lives) if (this.database.isAlive(life.memberId)) life.assertEmpty();
    return new Map(
      [...runs.values()].map((run) => {
        const events = eventLog.flatMap(({ event }) => (event.runId === run.runId ? [event] : []));
        const history = histories.get(run.runId) ?? [];
        return [nameOf(run), { run, saved: saved.get(run.runId), history, events }];
      }),
    );
  }

  /** What trainers took for the results of steps that are being made. */
  get deviceMs(): number {
    return this.#lives.reduce((sum, life) => sum + (life.isServing ? life.deviceMs : 0), 0);
  }

  async playUntil(ms: number): Promise<void> {
    while (this.agenda.nowMs < ms) await this.#next();
  }

  async #next(): Promise<void> {
    const isMore = await this.agenda.next();
    if (this.#failures.length > 0) throw this.#failures[0] as Error;
    assert.ok(isMore, "a run never ends");
  }

  #upTo(ms: number): number {
    return Math.floor(this.#random() * ms);
  }

  #happens(chance: number): boolean {
    return chance > 0 && this.agenda.nowMs < this.#options.calmMs && this.#random() < chance;
  }

  #anyLife(): SharedLife | undefined {
    const serving = this.#lives.filter(({ isServing }) => isServing);
    return serving[this.#upTo(serving.length)];
  }

  #start(place: number): void {
    const { agenda, database, trainers } = this;
    const { runs, deviceClasses: _, ...options } = this.#options;
    const { crashes = 0, troubles = 0, awayMs, leases, checksFairness, recoveryMs, saveMs = 800 } = options;
    const { longestTurnMs } = options;
    const life: SharedLife = new SharedLife({
      ...{ agenda, database, leases, checksFairness, troubles, recoveryMs, saveMs, longestTurnMs },
      address: `coordinator-${place}:7000`,
      upTo: (ms) => this.#upTo(ms),
      happens: (chance) => this.#happens(chance),
      latencyMs: () => 1 + this.#upTo(4),
      diskMs: () => this.#upTo(agenda.nowMs < this.#slowUntilMs ? 1_000 : 10),
      isCut: () => agenda.nowMs < Math.max(this.#outageUntilMs, this.#cutUntilMs[place] ?? 0),
      crashes: () => this.#happens(crashes),
      newRunId: () => `run-id-${++this.#runIds}`,
      shapeOf: (run: Run) => runs.find(({ name }) => name === nameOf(run)) as SimulatedRun,
      assign: (trainerId, task, adapter) => {
        const isOwner = database.owned([task.runId])[0]?.owner === life.memberId;
        assert.ok(!isOwner || !this.#clients.isResting(task.runId), "a run that rests was given a trainer");
        trainers.assign(life, trainerId, task, adapter);
      },
      cancelTask: (trainerId, taskId) => trainers.cancel(life, trainerId, taskId),
      disconnect: (trainerId) => trainers.disconnect(life, trainerId),
      deviceClassOf: (trainerId) => trainers.deviceClassOf(trainerId),
      at: (address) => this.#lives.find((other) => other.address === address && other.isServing),
      onServing: () => trainers.welcome(life),
      onEnd: () => {
        trainers.lose(life);
        agenda.in(1_000 + this.#upTo(awayMs), () => this.#start(place));
      },
      onFailure: (error) => this.#failures.push(error),
    });
    this.#lives[place] = life;
  }

  #plan(memberMs: number, trainerMs: number): void {
    const { faults } = this.#options;
    const some = <T>(of: readonly T[]): T | undefined => of[this.#upTo(of.length)];
    const place = () => this.#upTo(this.#options.coordinators);
    this.#often("kills", faults.kills, () => this.#lives[place()]?.kill());
    this.#often("pauses", faults.pauses, () => this.#lives[place()]?.pause(this.#upTo(3 * memberMs)));
    this.#often("cuts", faults.cuts, () => {
      this.#cutUntilMs[place()] = this.agenda.nowMs + this.#upTo(3 * memberMs);
    });
    this.#often("outages", faults.outages, () => {
      this.#outageUntilMs = this.agenda.nowMs + this.#upTo(2 * memberMs);
    });
    this.#often("slowDisks", faults.slowDisks, () => (this.#slowUntilMs = this.agenda.nowMs + 60_000));
    this.#often("upgrades", faults.upgrades, () => void this.#upgrade());
    this.#often("trainerCuts", faults.trainerCuts, () => {
      this.trainers.cut(some(this.trainers.ids) ?? "", this.#upTo(2 * trainerMs));
    });
    this.#often("trainerDeaths", faults.trainerDeaths, () => this.trainers.die(some(this.trainers.ids) ?? ""));
  }

  /** Again and again, at random moments that are this far apart on average. */
  #often(name: string, everyMs: number | undefined, act: () => void): void {
    if (everyMs === undefined) return;
    this.agenda.in(Math.ceil(-Math.log(1 - this.#random()) * everyMs), () => {
      if (this.agenda.nowMs >= this.#options.calmMs) return;
      this.happened[name] = (this.happened[name] ?? 0) + 1;
      act();
      this.#often(name, everyMs, act);
    });
  }

  /** One by one, each after the one before answers again. */
  async #upgrade(): Promise<void> {
    if (this.#isUpgrading) return;
    this.#isUpgrading = true;
    for (const [place, life] of this.#lives.entries()) {
      // Those that are killed meanwhile never end in order.
      life?.stop();
      while (this.#lives[place] === life || this.#lives[place]?.isServing !== true) {
        await new Promise<void>((done) => this.agenda.in(500, done));
      }
    }
    this.#isUpgrading = false;
  }
}
