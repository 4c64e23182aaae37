/** Where the core meets the world: what takes time runs on its own and reports back with an event. */
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import type { CheckedRecipe } from "@gradpool/recipe";
import { RunState, type Run, type RunSpec } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import { activeTraceparent, inSpan } from "@gradpool/tracing";
import type { Effect, RunEffect, TaskState, TrainerEffect } from "./core/state.js";
import { ON_REQUEST } from "./core/runs.js";
import { EventLoop, type EventLoopOptions, type Happening } from "./event-loop.js";
import { Refusals } from "./events/refusals.js";
import { OUTCOMES, recordOf } from "./record-of.js";
import { MAX_UNFINISHED_RUNS, type RecordedChange, type RunRegistry } from "./run-registry.js";
import { ActiveRun } from "./runs/active-run.js";
import type { Runtime } from "./runs/start.js";
import type { MicroBatchResult } from "./runs/training.js";
import type { Services } from "./services.js";
import { RunTraces } from "./traces/run-traces.js";

/** What the engine needs of the trainers' side. */
export interface Trainers {
  carryOut(effect: TrainerEffect): void;
  /** Tells all that a run is over. */
  endRun(runId: string): void;
  runtimes(): Runtime[];
}

export interface EngineOptions extends Pick<EventLoopOptions, "life" | "observe" | "onCrash"> {
  services: Services;
  registry: RunRegistry;
  log: Logger;
  /** Runs go on when the coordinator starts again. */
  isDurable: boolean;
  recoveryMs: number;
  /** How long steps that are under way may take to be made when the coordinator stops. */
  drainMs: number;
  trainers: () => Trainers;
}

export class Engine implements AsyncDisposable {
  readonly traces = new RunTraces();
  readonly #options: EngineOptions;
  readonly #loop: EventLoop;
  readonly #active = new Map<string, ActiveRun>();
  readonly #ending = new Set<Promise<void>>();
  /** Told when nothing is under way any more, once the core was told to stop. */
  readonly #quiet = new AbortController();
  readonly #refusals = new Refusals(MAX_UNFINISHED_RUNS);
  /** The result that the event being handled is about. */
  #result: { taskId: string; value: MicroBatchResult; accepted: boolean } | undefined;

  constructor(options: EngineOptions) {
    const { life, registry, observe, onCrash } = options;
    this.#options = options;
    this.#loop = new EventLoop({
      life,
      recordOf,
      commit: (changes) => registry.commit(changes),
      observe: (happened) => {
        this.traces.observe(happened);
        observe(happened);
      },
      carryOut: (effect) => this.traces.within(effect, () => this.#contain(effect)),
      onCrash,
    });
  }

  get state(): EventLoop["state"] {
    return this.#loop.state;
  }

  /** See EventLoop.happen. */
  happen(what: Happening | (() => Happening)): Promise<void> {
    return this.#loop.happen(what);
  }

  /** Takes up the runs that had not ended when the coordinator did, in the order in which they were submitted. */
  resumeAll(): void {
    for (const { run } of this.#options.registry.unfinished) {
      const paused = run.state === RunState.RUN_STATE_PAUSED && run.pausedBecause === ON_REQUEST;
      this.#options.log.info({ runId: run.runId, step: run.step, paused }, "taking up a run");
      void this.happen(() => this.#submitted(run, paused, undefined));
    }
  }

  /** A new run, recorded along with `changes`. Errors: those of RunRegistry.newRun. */
  async submit(spec: RunSpec | undefined, changes: (runId: string) => RecordedChange[]): Promise<string> {
    let runId = "";
    const traceparent = activeTraceparent();
    try {
      await this.happen(() => {
        const { run, recipe } = this.#options.registry.newRun(spec, traceparent);
        ({ runId } = run);
        const { event } = this.#submitted(run, false, recipe);
        return { ...(event && { event }), changes: [{ type: "run", run }, ...changes(runId)] };
      });
    } catch (error) {
      const { code, message } = GradpoolError.from(error);
      const payload = code === "resource_exhausted" && this.#refusals.refused(message, performance.now());
      if (payload) await this.happen({ changes: [{ type: "tell", payload }] });
      throw error;
    }
    return runId;
  }

  taskOf(taskId: string): TaskState | undefined {
    return this.state.tasks.find((task) => task.taskId === taskId);
  }

  /** Errors: `not_found` when it is over. */
  run(runId: string): ActiveRun {
    const run = this.#active.get(runId);
    if (run) return run;
    throw new GradpoolError("not_found", `run ${runId} is over`);
  }

  /** Whether the result of a task counts (I3). */
  async result(taskId: string, value: MicroBatchResult, nowMs: number): Promise<boolean> {
    const result = { taskId, value, accepted: false };
    await this.happen(() => {
      this.#result = result;
      return { event: { type: "result-arrived", taskId, nowMs } };
    });
    return result.accepted;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { isDurable } = this.#options;
    if (isDurable) await this.#drain();
    this.#loop.stop();
    await Promise.all([...this.#active.values()].map((run) => (isDurable ? run.leave() : run.end())));
    await Promise.all(this.#ending);
  }

  /** Begins no further step, and waits for those under way: what trainers computed is then in what runs save. */
  async #drain(): Promise<void> {
    await this.happen({ event: { type: "pool-stopping" } });
    await delay(this.#options.drainMs, undefined, { signal: this.#quiet.signal }).catch(() => {});
  }

  #submitted(run: Run, paused: boolean, recipe: CheckedRecipe | undefined): Happening {
    const { runId } = run;
    const { registry, services, recoveryMs, log } = this.#options;
    const active = new ActiveRun({
      ...{ run, recipe, services, recoveryMs },
      onDoing: (doing) => registry.get(runId).tell(doing),
      onTrouble: (reason) => {
        log.warn({ runId }, reason || "goes on");
        void this.happen({ event: { type: "run-troubled", runId, reason } });
      },
      onCheckpoint: (checkpoint) => void this.happen({ changes: [{ type: "checkpoint", runId, checkpoint }] }),
      onFailed: (error) => this.#fail(runId, error),
    });
    this.#active.set(runId, active);
    this.traces.begin(run);
    return { event: { type: "run-submitted", runId, paused } };
  }

  /** What goes wrong with one run ends that run and no other. */
  #contain(effect: Effect): void {
    try {
      this.#carryOut(effect);
    } catch (error) {
      if (effect.type === "assign" || effect.type === "accept-result") this.#fail(effect.task.runId, error);
      else throw error;
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.type) {
      case "assign":
      case "cancel-task":
      case "disconnect":
        this.#options.trainers().carryOut(effect);
        break;
      case "run-state":
        if (effect.state === "paused") this.#active.get(effect.runId)?.rest();
        break;
      case "drop-result":
        break;
      case "pool-quiet":
        this.#quiet.abort();
        break;
      case "end-run":
        this.#endRun(effect);
        break;
      default:
        this.#carryOutForRun(effect);
    }
  }

  #carryOutForRun(effect: RunEffect): void {
    const runId = effect.type === "accept-result" ? effect.task.runId : effect.runId;
    const run = this.#active.get(runId);
    if (!run) return;
    switch (effect.type) {
      case "prepare":
        this.#report(runId, () => inSpan("prepare", {}, () => this.#prepare(runId, run)));
        break;
      case "open-stream":
        this.#report(runId, () =>
          run.stream((lastOfEpoch) => void this.happen({ event: { type: "micro-batch-arrived", runId, lastOfEpoch } })),
        );
        break;
      case "retry":
        run.retry();
        break;
      case "accept-result":
        if (this.#result?.taskId !== effect.task.taskId) throw new Error("a result was accepted outside of its event");
        run.accept(effect.task, this.#result.value);
        this.#result.accepted = true;
        break;
      case "apply-step":
        this.#report(runId, async () => {
          const { step, evaluate } = run.applyStep();
          this.traces.stepMade(runId, step);
          await this.happen({ changes: [{ type: "step", runId, step }] });
          // What is saved behind an evaluation knows of it.
          if (!evaluate) await run.saveIfDue();
          await this.happen({ event: { type: "step-applied", runId, evaluate } });
        });
        break;
      case "open-evaluation":
        this.#report(runId, () =>
          run.evaluate((last) => void this.happen({ event: { type: "evaluation-batch-arrived", runId, last } })),
        );
        break;
      case "apply-evaluation":
        this.#report(runId, () => this.#applyEvaluation(runId, run));
        break;
      case "finish":
        this.#report(runId, async () => {
          await inSpan("finish", {}, () => run.finish());
          await this.happen({ event: { type: "run-finished", runId } });
        });
        break;
    }
  }

  async #applyEvaluation(runId: string, run: ActiveRun): Promise<void> {
    const { evaluation, stop } = run.applyEvaluation();
    this.traces.evaluated(runId, evaluation);
    const { totalSteps } = this.#options.registry.get(runId).recorded;
    const stoppedEarly = stop && evaluation.step < totalSteps;
    await this.happen({
      changes: [
        { type: "evaluation", runId, evaluation },
        { type: "patch", runId, patch: { stoppedEarly } },
      ],
    });
    await run.saveIfDue();
    await this.happen({ event: { type: "evaluation-applied", runId, stop } });
  }

  async #prepare(runId: string, run: ActiveRun): Promise<void> {
    const { facts, found, steps, evaluations } = await run.prepare(this.#options.trainers().runtimes());
    await this.happen(() => {
      if (!this.#active.has(runId)) return {};
      this.#options.registry.get(runId).tell({ preparing: "" });
      const event = { type: "run-prepared" as const, runId, ...facts };
      return {
        event,
        changes: [
          { type: "patch", runId, patch: found },
          { type: "steps", runId, steps, evaluations },
        ],
      };
    });
  }

  #endRun({ runId, outcome, code, message }: Effect & { type: "end-run" }): void {
    const run = this.#active.get(runId);
    this.#active.delete(runId);
    this.#options.trainers().endRun(runId);
    this.#options.log.info({ runId, outcome, code: code || undefined }, message || "run ended");
    // The output folder is free before anyone learns that the run has ended.
    const ending = (async () => {
      await run?.end();
      const error = outcome === "failed" ? { code, message } : undefined;
      const patch = { state: OUTCOMES[outcome], endedAt: new Date(), pausedBecause: "", error };
      await this.happen({ changes: [{ type: "patch", runId, patch }] });
      this.traces.ended(this.#options.registry.get(runId).recorded);
    })();
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  /** Runs something that takes time; its failure is the run's. */
  #report(runId: string, work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#fail(runId, error));
  }

  #fail(runId: string, reason: unknown): void {
    if (!this.#active.has(runId)) return;
    const { code, message } = GradpoolError.from(reason);
    if (code === "internal") this.#options.log.error({ runId, err: reason }, "run failed unexpectedly");
    void this.happen({ event: { type: "run-failed", runId, code, message } });
  }
}
