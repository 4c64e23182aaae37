/**
 * One life of a coordinator in a simulated world: the real driver, handlers, registry, events and requests on ports
 * that a seed decides. It may crash at any durable write; its successor knows only what the store holds.
 */
import assert from "node:assert/strict";
import { type Handlers, type Run, RunState, type RunServiceService } from "@gradpool/rpc";
import { ON_REQUEST } from "../src/core/runs.js";
import type { Input, Task } from "../src/core/state.js";
import { Driver } from "../src/driver/driver.js";
import type { Ports } from "../src/driver/ports.js";
import { EventBook } from "../src/events/event-book.js";
import { runServiceHandlers } from "../src/handlers/run-service.js";
import { Requests } from "../src/record/requests.js";
import { RunRegistry } from "../src/record/run-registry.js";
import { RunCommands } from "../src/run-commands.js";
import type { Agenda } from "./agenda.js";
import { Fairness } from "./fairness.js";
import { SimulatedCrash, type SimulatedStore } from "./simulated-store.js";
import { SimulatedWork, type WorkOptions } from "./simulated-work.js";

export const LEASE_MS = 10_000;

export interface LifeOptions extends Omit<WorkOptions, "run" | "shape" | "store" | "listener" | "nowMs" | "after"> {
  agenda: Agenda;
  store: SimulatedStore;
  newRunId: () => string;
  shapeOf: (run: Run) => WorkOptions["shape"];
  /** `adapter`: what the task is computed with. */
  assign: (trainerId: string, task: Task, adapter: number) => void;
  cancelTask: (trainerId: string, taskId: string) => void;
  /** Effects do not wait until the facts are recorded: a fault that must be found. */
  hasty: boolean;
  onCrash: () => void;
  /** Something is wrong with the coordinator. */
  onFailure: (error: unknown) => void;
}

export class SimulatedLife {
  /** What clients call. */
  readonly handlers: Handlers<RunServiceService>;
  readonly driver: Driver<SimulatedWork>;
  readonly #options: LifeOptions;
  readonly #fairness = new Fairness();
  readonly #stopping = new AbortController();
  #isDown = false;
  #crashed = () => {};
  readonly #crash = new Promise<undefined>((resolve) => (this.#crashed = () => resolve(undefined)));

  private constructor(options: LifeOptions, registry: RunRegistry) {
    this.#options = options;
    const { life, requests } = options.store.recorded;
    options.store.pause = () => this.#after(options.upTo(4));
    this.driver = new Driver(this.#ports(registry), { life, drainMs: 30_000 });
    const { signal: stopping } = this.#stopping;
    const others = { requests: new Requests(requests), reporter: { check: () => {} }, stopping };
    const commands = new RunCommands({ driver: this.driver, registry, ...others });
    this.handlers = runServiceHandlers({ registry, commands, roots: undefined, stopping });
    for (const { run } of registry.unfinished) {
      const paused = run.state === RunState.RUN_STATE_PAUSED && run.pausedBecause === ON_REQUEST;
      this.driver.recover(run, paused);
    }
    this.#tick();
  }

  /** Resumes the store's runs, in order of submission. */
  static async start(options: LifeOptions): Promise<SimulatedLife> {
    const { store, newRunId } = options;
    store.open();
    const book = new EventBook(store.recorded.events, false);
    return new SimulatedLife(options, await RunRegistry.load(store, book, { newRunId }));
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  happen(input: Input): void {
    if (!this.#isDown) void this.driver.happen({ input });
  }

  /** The value of `ask`, or undefined when the coordinator crashes first. */
  ask<T>(ask: (handlers: Handlers<RunServiceService>) => Promise<T>): Promise<T | undefined> {
    return this.#isDown ? Promise.resolve(undefined) : Promise.race([ask(this.handlers), this.#crash]);
  }

  /** Nothing is left of what has ended. */
  assertEmpty(): void {
    const { runs, tasks } = this.driver.state;
    assert.deepEqual([runs, tasks], [[], []], "the core keeps what has ended");
  }

  #ports(registry: RunRegistry): Ports<SimulatedWork> {
    const { agenda, store, assign, cancelTask, shapeOf, hasty } = this.#options;
    return {
      clock: { nowMs: () => agenda.nowMs, sleep: (ms) => this.#after(ms) },
      record: async (turns) => {
        const recorded = registry.commit(turns);
        if (!hasty) await recorded;
        else recorded.catch((error: unknown) => this.#failed(error));
      },
      observe: () => this.#fairness.look(this.driver.state),
      traced: (_, work) => work(),
      trainers: {
        carryOut: (effect) => {
          if (effect.type === "cancel-task") cancelTask(effect.trainerId, effect.taskId);
          if (effect.type !== "assign") return;
          this.#fairness.assigned(effect.task, this.driver.state);
          const { runId } = effect.task;
          const run = store.runs.get(runId);
          assert.equal(run?.state, RunState.RUN_STATE_RUNNING, "a task was handed out before that was recorded (I4)");
          assign(effect.trainerId, effect.task, this.driver.run(runId).adapter);
        },
        endRun: () => {},
      },
      openRun: (run, listener) =>
        new SimulatedWork({
          ...this.#options,
          ...{ run, listener, shape: shapeOf(run) },
          nowMs: () => agenda.nowMs,
          after: (ms) => this.#after(ms),
        }),
      onUnexpected: (_, error) => this.#failed(error),
      onCrash: (error) => this.#failed(error),
    };
  }

  /** A crash is expected, whichever promise it surfaces in. */
  #failed(error: unknown): void {
    if (!(error instanceof SimulatedCrash)) return this.#options.onFailure(error);
    if (this.#isDown) return;
    this.#isDown = true;
    this.driver.stop();
    this.#stopping.abort();
    this.#crashed();
    this.#options.onCrash();
  }

  #tick(): void {
    this.happen({ type: "time-passed", leaseMs: LEASE_MS });
    void this.#after(1_000).then(() => this.#tick());
  }

  /** Plans that die with this life. */
  #after(ms: number): Promise<void> {
    return new Promise((done) => this.#options.agenda.in(ms, () => this.#isDown || done()));
  }
}
