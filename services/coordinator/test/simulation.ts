/**
 * A seeded world around the coordinator's driver: clients, data streams, an optimizer, trainers on a bad network,
 * and crashes before and after any durable write. Everything follows from the seed, so a failing one fails again.
 */
import assert from "node:assert/strict";
import { GradpoolError } from "@gradpool/errors";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import {
  Metadata,
  type Event,
  type Handlers,
  type Recipe,
  type Run,
  type RunServiceService,
  type RunSpec,
} from "@gradpool/rpc";
import { hasEnded } from "../src/record/run-record.js";
import type { History } from "../src/store/run-store.js";
import { Agenda } from "./agenda.js";
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
  #requests = 0;
  #runIds = 0;
  /** By name, once a client has been answered. */
  readonly #known = new Map<string, string>();
  /** Runs whose pause was answered, until their resumption is asked for. */
  readonly #resting = new Set<string>();
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
    this.#agenda.in(0, () => void this.#start());
    for (const { name } of options.runs) this.#later(5_000, () => this.#submit(name));
    for (const name of options.cancelled ?? []) this.#whenKnown(name, (runId) => this.#ask("cancelRun", runId));
    for (const name of options.paused ?? []) this.#whenKnown(name, (runId) => this.#pauseAndResume(runId, 3));
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
        assert.ok(!this.#resting.has(task.runId), "a run that rests was given a trainer");
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

  #submit(name: string): void {
    this.#call(
      (handlers, requestId) => handlers.submitRun({ requestId, spec: specNamed(name) }, CONTEXT),
      (run) => this.#known.set(name, run.runId),
    );
  }

  #ask(wish: "pauseRun" | "resumeRun" | "cancelRun", runId: string, then: () => void = () => {}): void {
    this.#call(async (handlers, requestId) => {
      const answer = await handlers[wish]({ requestId, runId }, CONTEXT);
      assert.equal(answer.run?.runId, runId, "a request was answered with another's subject");
      return answer;
    }, then);
  }

  /**
   * A client asks, and repeats the request with the same id until it is answered; its answers may get lost, and
   * its requests duplicated (I4). `then` is called with the first answer.
   */
  #call(ask: (handlers: Runs, requestId: string) => Promise<{ run: Run | undefined }>, then: (run: Run) => void): void {
    const requestId = `request-${++this.#requests}`;
    let isAnswered = false;
    const send = async (): Promise<void> => {
      const answer = await this.#life?.ask((handlers) => ask(handlers, requestId).catch(refusalOf));
      const isLost = this.#happens(0.2);
      if (answer === undefined || isLost) return this.#agenda.in(500 + this.#upTo(2_000), () => void send());
      if (answer !== "refused") {
        assert.ok(this.#store.requests.has(requestId), "an answer was given that is not recorded");
        await this.#tryOther(requestId);
        if (!isAnswered && answer.run) then(answer.run);
      }
      isAnswered = true;
      if (this.#happens(0.2)) this.#later(5_000, () => void send());
    };
    send().catch((error: unknown) => this.#failures.push(error));
  }

  /** The same request id with other content is refused. */
  async #tryOther(requestId: string): Promise<void> {
    const spec = specNamed("something else");
    const code = await this.#life?.ask((handlers) => handlers.submitRun({ requestId, spec }, CONTEXT).catch(codeOf));
    assert.ok(code === undefined || code === "already_exists" || code === "unavailable", JSON.stringify(code));
  }

  #whenKnown(name: string, act: (runId: string) => void): void {
    this.#later(30_000, () => {
      const runId = this.#known.get(name);
      if (runId === undefined) this.#whenKnown(name, act);
      else act(runId);
    });
  }

  #pauseAndResume(runId: string, times: number): void {
    const run = this.#store.runs.get(runId);
    if (times === 0 || !run || hasEnded(run)) return;
    this.#ask("pauseRun", runId, () => {
      this.#resting.add(runId);
      this.#later(8_000, () => {
        this.#resting.delete(runId);
        this.#ask("resumeRun", runId, () => this.#later(5_000, () => this.#pauseAndResume(runId, times - 1)));
      });
    });
  }
}

type Runs = Handlers<RunServiceService>;

/** Of a client that never gives up. */
const CONTEXT = { signal: new AbortController().signal, metadata: new Metadata() };

const nameOf = (run: Run): string => run.spec?.outputDir ?? "";

const specNamed = (name: string): RunSpec => ({
  ...{ modelId: "simulated", dataset: ["rows"], outputDir: name },
  ...NEW_START,
  recipe: RECIPE,
});

const RECIPE: Recipe = defaultRecipe();

const codeOf = (error: unknown): string => GradpoolError.from(error).code;

/** Undefined where the client may try again. Errors: what no client should meet. */
function refusalOf(error: unknown): "refused" | undefined {
  const code = codeOf(error);
  // A request may find that its run has ended.
  if (code === "failed_precondition") return "refused";
  if (code === "unavailable" || code === "cancelled") return undefined;
  throw error;
}
