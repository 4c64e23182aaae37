/**
 * One life of a coordinator among several in a simulated world: the real driver, registry, events, requests, membership and
 * forwarding, on ports that a seed decides. It is killed, paused, cut off, or stopped in order.
 */
import assert from "node:assert/strict";
import { GradpoolError } from "@gradpool/errors";
import type { CallOptions, Client, Handlers, Run, RunServiceService } from "@gradpool/rpc";
import { RunState } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import type { Input, Task } from "../src/core/state.js";
import { Driver } from "../src/driver/driver.js";
import type { Clock, Ports } from "../src/driver/ports.js";
import { EventBook } from "../src/events/event-book.js";
import { runServiceHandlers } from "../src/handlers/run-service.js";
import { Forwarding } from "../src/members/forwarding.js";
import { Members } from "../src/members/members.js";
import { SharedPool } from "../src/members/shared-pool.js";
import { Requests } from "../src/record/requests.js";
import { RunRegistry } from "../src/record/run-registry.js";
import { RunCommands } from "../src/run-commands.js";
import type { Agenda } from "./agenda.js";
import { Fairness } from "./fairness.js";
import { changesOf, DatabaseLink, membersTable, SharedStore, type LinkOptions } from "./shared-store.js";
import { SimulatedCrash } from "./simulated-store.js";
import { SimulatedWork, type WorkOptions } from "./simulated-work.js";

type Runs = Handlers<RunServiceService>;
type RunClient = Client<RunServiceService>;

const log = createLogger("coordinator", { GRADPOOL_LOG_LEVEL: "silent" });

/** How long a coordinator that stops in order may take before it is killed. */
const STOP_MS = 60_000;

export interface SharedLifeOptions
  extends
    Omit<WorkOptions, "run" | "shape" | "store" | "listener" | "nowMs" | "after">,
    Omit<LinkOptions, "after" | "nowMs"> {
  agenda: Agenda;
  /** "host:port". */
  address: string;
  /** Of its membership, and of trainers that say nothing; Infinity: those are never believed to be lost. */
  leases: { memberMs: number; trainerMs: number; tickMs: number };
  /** Whether each assignment is compared with what is fair (I8). */
  checksFairness: boolean;
  newRunId: () => string;
  shapeOf: (run: Run) => WorkOptions["shape"];
  /** `adapter`: what the task is computed with. */
  assign: (trainerId: string, task: Task, adapter: number) => void;
  cancelTask: (trainerId: string, taskId: string) => void;
  disconnect: (trainerId: string) => void;
  /** The coordinator at an address; undefined: it is down. */
  at: (address: string) => SharedLife | undefined;
  /** It answers from now on. */
  onServing: () => void;
  onEnd: () => void;
  /** Something is wrong with the coordinator. */
  onFailure: (error: unknown) => void;
}

export class SharedLife {
  readonly address: string;
  readonly #options: SharedLifeOptions;
  readonly #fairness = new Fairness();
  readonly #stopping = new AbortController();
  /** Undefined until it has joined the others. */
  #parts: { driver: Driver<SimulatedWork>; shared: SharedPool<SharedStore> } | undefined;
  /** What clients call; undefined until it has its first runs. */
  #handlers: Runs | undefined;
  #isDown = false;
  #awakeAtMs = 0;
  #ended = () => {};
  readonly #end = new Promise<undefined>((resolve) => (this.#ended = () => resolve(undefined)));

  constructor(options: SharedLifeOptions) {
    this.address = options.address;
    this.#options = options;
    this.#start().catch((error: unknown) => this.#failed(error));
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Whether it answers. */
  get isServing(): boolean {
    return !this.#isDown && this.#handlers !== undefined;
  }

  /** Undefined until it has joined the others. */
  get memberId(): string | undefined {
    return this.#parts?.shared.members.id;
  }

  /** What trainers took for the results of steps that are being made. */
  get deviceMs(): number {
    const { driver } = this.#parts ?? {};
    const running = driver?.state.runs.filter(({ phase }) => phase === "running") ?? [];
    return running.reduce((sum, { runId }) => sum + (driver?.run(runId).deviceMs ?? 0), 0);
  }

  happen(input: Input): void {
    this.#whenAwake(() => void this.#parts?.driver.happen({ input }));
  }

  /** The value of `ask`, or undefined when the coordinator ends first. */
  ask<T>(ask: (handlers: Runs) => Promise<T>): Promise<T | undefined> {
    const answer = new Promise<T | undefined>((done, failed) => {
      this.#whenAwake(() => {
        if (this.#handlers) ask(this.#handlers).then(done, failed);
        else done(undefined);
      });
    });
    return this.isServing ? Promise.race([answer, this.#end]) : Promise.resolve(undefined);
  }

  /** As kill -9. */
  kill(): void {
    this.#failed(new SimulatedCrash());
  }

  /** As SIGSTOP, and SIGCONT after a while. */
  pause(ms: number): void {
    this.#awakeAtMs = Math.max(this.#awakeAtMs, this.#options.agenda.nowMs + ms);
  }

  /** As SIGTERM: its steps are finished, and its runs given up. */
  stop(): void {
    if (!this.#isDown && !this.#stopping.signal.aborted) this.#stop().catch((error: unknown) => this.#failed(error));
  }

  /** Nothing is left of what has ended. */
  assertEmpty(): void {
    const { runs, tasks } = this.#parts?.driver.state ?? { runs: [], tasks: [] };
    assert.deepEqual([runs, tasks], [[], []], "the core keeps what has ended");
  }

  async #stop(): Promise<void> {
    if (!this.#parts) return;
    const { driver, shared } = this.#parts;
    this.#stopping.abort();
    void this.#after(STOP_MS).then(() => this.kill());
    await driver[Symbol.asyncDispose]();
    await shared.members.giveUp();
    await shared[Symbol.asyncDispose]();
    this.kill();
  }

  async #start(): Promise<void> {
    const { agenda, leases, newRunId, address } = this.#options;
    const after = (ms: number) => this.#after(ms);
    const nowMs = () => agenda.nowMs;
    const link = new DatabaseLink({ ...this.#options, after, nowMs });
    const clock: Clock = { nowMs, sleep: (ms, signal) => this.#sleep(ms, signal) };
    const members = await Members.join({ table: membersTable(link), leaseMs: leases.memberMs, clock, log });
    const store = await SharedStore.open(link, members);
    const shared = new SharedPool({ clock, log }, store, members, changesOf(link));
    const book = new EventBook(store.recorded.events, false);
    const registry = await RunRegistry.load(store, book, { newRunId, isShared: true });
    const driver = new Driver(this.#ports(registry, members, clock), { life: members.life, drainMs: 30_000 });
    const { signal: stopping } = this.#stopping;
    const requests = new Requests(store.recorded.requests, shared.find);
    const commands = new RunCommands({ driver, registry, requests, reporter: { check: () => {} }, stopping });
    const own = runServiceHandlers({ registry, commands, roots: undefined, stopping });
    const handlers = new Forwarding({ owners: shared, connect: (to) => this.#connect(to) }).handlers(own);
    const trainers = { announceMembers: () => {}, learnDrained: () => {} };
    this.#parts = { driver, shared };
    await shared.start({ driver, registry, trainers, book, onLost: (error) => this.#failed(error) });
    this.#handlers = handlers;
    this.#options.onServing();
    await members.reachableAt(address);
    this.#tick();
  }

  #ports(registry: RunRegistry, members: Members, clock: Clock): Ports<SimulatedWork> {
    const { agenda, database, crashes, assign, cancelTask, disconnect, shapeOf, checksFairness } = this.#options;
    const { runs, saved } = database.tables;
    return {
      clock,
      record: (turns) => registry.commit(turns),
      observe: () => checksFairness && this.#fairness.look(this.#driver.state),
      traced: (_, work) => work(),
      trainers: {
        carryOut: (effect) => {
          const { trainerId } = effect;
          if (effect.type === "cancel-task") return cancelTask(trainerId, effect.taskId);
          if (effect.type === "disconnect") return disconnect(trainerId);
          const { task } = effect;
          if (checksFairness) this.#fairness.assigned(task, this.#driver.state);
          const { state } = registry.get(task.runId).recorded;
          assert.equal(state, RunState.RUN_STATE_RUNNING, "a task was handed out before that was recorded (I4)");
          assign(trainerId, task, this.#driver.run(task.runId).adapter);
        },
        endRun: () => {},
      },
      openRun: (run, listener) => {
        const { runId } = run;
        const epoch = members.epochOf(runId);
        const save: WorkOptions["store"]["save"] = (_, what) => {
          if (crashes()) throw new SimulatedCrash();
          database.save(runId, epoch, what);
          if (crashes()) throw new SimulatedCrash();
        };
        return new SimulatedWork({
          ...this.#options,
          ...{ run, listener, shape: shapeOf(run), store: { runs, saved, save } },
          claim: () => database.claim(runId, epoch),
          nowMs: () => agenda.nowMs,
          after: (ms) => this.#after(ms),
        });
      },
      onUnexpected: (_, error) => this.#failed(error),
      onCrash: (error) => this.#failed(error),
    };
  }

  get #driver(): Driver<SimulatedWork> {
    return this.#parts?.driver ?? assert.fail("an effect came before the coordinator had started");
  }

  /** A client of another coordinator, for what is passed on. */
  #connect(address: string): RunClient {
    const wish =
      (name: "pauseRun" | "resumeRun" | "cancelRun") =>
      async (request: { requestId: string; runId: string }, { signal, metadata }: CallOptions) => {
        const context = { signal: signal as AbortSignal, metadata: metadata as NonNullable<typeof metadata> };
        const answer = await this.#options.at(address)?.ask((handlers) => handlers[name](request, context));
        return answer ?? Promise.reject(new GradpoolError("unavailable", `nobody answers at ${address}`));
      };
    const calls = { pauseRun: wish("pauseRun"), resumeRun: wish("resumeRun"), cancelRun: wish("cancelRun") };
    return { ...calls, close: () => {} } as unknown as RunClient;
  }

  /** That it ends is expected, whichever promise says so; not that it is wrong. */
  #failed(error: unknown): void {
    if (this.#isDown) return;
    const isExpected = error instanceof SimulatedCrash || GradpoolError.from(error).code === "aborted";
    if (!isExpected) return this.#options.onFailure(error);
    // It has just heard from the database that it was declared dead, and says that it did not end by itself.
    if (!(error instanceof SimulatedCrash) && this.memberId) this.#options.database.leave(this.memberId);
    this.#isDown = true;
    this.#parts?.driver.stop();
    this.#stopping.abort();
    this.#ended();
    this.#options.onEnd();
  }

  #tick(): void {
    const { trainerMs: leaseMs, tickMs } = this.#options.leases;
    this.happen({ type: "time-passed", leaseMs });
    void this.#after(tickMs).then(() => this.#tick());
  }

  /** Errors: `signal`'s reason when it aborts first. */
  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((done, failed) => {
      const abort = () => failed(signal.reason as Error);
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort, { once: true });
      void this.#after(ms).then(() => {
        signal.removeEventListener("abort", abort);
        done();
      });
    });
  }

  /** Plans that die with this life, and wait while it is paused. */
  #after(ms: number): Promise<void> {
    return new Promise((done) => this.#options.agenda.in(ms, () => this.#whenAwake(done)));
  }

  #whenAwake(act: () => void): void {
    if (this.#isDown) return;
    const { agenda } = this.#options;
    const ms = this.#awakeAtMs - agenda.nowMs;
    if (ms > 0) agenda.in(ms, () => this.#whenAwake(act));
    else act();
  }
}
