/** Clients of simulated coordinators: they submit, pause and cancel runs, and repeat what is not answered (I4). */
import assert from "node:assert/strict";
import { GradpoolError } from "@gradpool/errors";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import { Metadata, type Handlers, type Recipe, type Run, type RunServiceService, type RunSpec } from "@gradpool/rpc";
import { hasEnded } from "../src/record/run-record.js";
import type { Agenda } from "./agenda.js";
import type { SimulatedStore } from "./simulated-store.js";

type Runs = Handlers<RunServiceService>;

/** Whom a client calls. */
interface Called {
  /** Undefined when the coordinator ends first. */
  ask<T>(ask: (handlers: Runs) => Promise<T>): Promise<T | undefined>;
}

export interface ClientsOptions {
  agenda: Agenda;
  upTo: (ms: number) => number;
  happens: (chance: number) => boolean;
  store: SimulatedStore;
  /** Asked anew for each call; undefined: none answers. */
  coordinator: () => Called | undefined;
  onFailure: (error: unknown) => void;
}

export class SimulatedClients {
  readonly #options: ClientsOptions;
  #requests = 0;
  /** By name, once a client has been answered. */
  readonly #known = new Map<string, string>();
  /** Runs whose pause was answered, until their resumption is asked for. */
  readonly #resting = new Set<string>();

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  isResting(runId: string): boolean {
    return this.#resting.has(runId);
  }

  /** At some time. */
  cancel(name: string): void {
    this.#whenKnown(name, (runId) => this.#ask("cancelRun", runId));
  }

  /** At some time, and several times. */
  pauseAndResume(name: string): void {
    this.#whenKnown(name, (runId) => this.#pauseAndResume(runId, 3));
  }

  submit(name: string): void {
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
      const answer = await this.#options.coordinator()?.ask((handlers) => ask(handlers, requestId).catch(refusalOf));
      const isLost = this.#options.happens(0.2);
      if (answer === undefined || isLost)
        return this.#options.agenda.in(500 + this.#options.upTo(2_000), () => void send());
      if (answer !== "refused") {
        assert.ok(this.#options.store.requests.has(requestId), "an answer was given that is not recorded");
        await this.#tryOther(requestId);
        if (!isAnswered && answer.run) then(answer.run);
      }
      isAnswered = true;
      if (this.#options.happens(0.2)) this.#later(5_000, () => void send());
    };
    send().catch((error: unknown) => this.#options.onFailure(error));
  }

  /** The same request id with other content is refused. */
  async #tryOther(requestId: string): Promise<void> {
    const spec = specNamed("something else");
    const code = await this.#options
      .coordinator()
      ?.ask((handlers) => handlers.submitRun({ requestId, spec }, CONTEXT).catch(codeOf));
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
    const run = this.#options.store.runs.get(runId);
    if (times === 0 || !run || hasEnded(run)) return;
    this.#ask("pauseRun", runId, () => {
      this.#resting.add(runId);
      this.#later(8_000, () => {
        this.#resting.delete(runId);
        this.#ask("resumeRun", runId, () => this.#later(5_000, () => this.#pauseAndResume(runId, times - 1)));
      });
    });
  }

  #later(ms: number, act: () => void): void {
    this.#options.agenda.in(this.#options.upTo(ms), act);
  }
}

/** Of a client that never gives up. */
const CONTEXT = { signal: new AbortController().signal, metadata: new Metadata() };

export const nameOf = (run: Run): string => run.spec?.outputDir ?? "";

export const specNamed = (name: string): RunSpec => ({
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
