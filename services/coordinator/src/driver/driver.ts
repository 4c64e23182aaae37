/**
 * Where the core meets the world: what takes time runs on its own and reports back with an input. The same driver
 * runs in a coordinator and in the simulator; only the implementations of its ports differ.
 */
import { GradpoolError } from "@gradpool/errors";
import type { Run } from "@gradpool/rpc";
import type { Effect, Output, TrainingEffect } from "../core/effects.js";
import type { Needs, PoolState, Task, TaskResult } from "../core/state.js";
import type { Fact } from "../facts.js";
import type { Ports, PreparingPort, RunListener, TrainingPort } from "./ports.js";
import { Turns, type Happening } from "./turns.js";

export interface DriverOptions {
  /** Counts the coordinator's starts. */
  life: number;
  /** How long steps in progress may take to finish when the coordinator stops; undefined: runs end with it. */
  drainMs: number | undefined;
}

/** A run that has not ended, in its first phase, and in its second once it is prepared. */
interface OpenRun<T extends TrainingPort> {
  readonly preparing: PreparingPort<T>;
  training: T | undefined;
}

export class Driver<T extends TrainingPort = TrainingPort> implements AsyncDisposable {
  readonly #ports: Ports<T>;
  readonly #drainMs: number | undefined;
  readonly #turns: Turns;
  readonly #runs = new Map<string, OpenRun<T>>();
  readonly #ending = new Set<Promise<void>>();
  /** Runs from their opening until their end is recorded. */
  readonly #owned = new Set<string>();
  /** Aborted once the core is stopping and nothing is in progress. */
  readonly #quiet = new AbortController();

  constructor(ports: Ports<T>, { life, drainMs }: DriverOptions) {
    this.#ports = ports;
    this.#drainMs = drainMs;
    const { clock } = ports;
    this.#turns = new Turns({
      ...{ life, clock },
      record: (turns) => ports.record(turns),
      observe: (facts) => ports.observe(facts),
      carryOut: (output) => this.#carryOut(output),
      onCrash: (error) => ports.onCrash(error),
    });
  }

  get state(): PoolState {
    return this.#turns.state;
  }

  /** See Turns.happen. */
  happen(what: Happening | (() => Happening)): Promise<readonly Effect[]> {
    return this.#turns.happen(what);
  }

  /** Resumes a run that had not ended when the coordinator did. `paused`: on request. */
  recover(run: Run, paused: boolean): void {
    void this.happen(() => {
      this.#open(run);
      const { runId, livesWithoutProgress: lives } = run;
      const input = { type: "run-submitted" as const, runId, paused, lives };
      return { input, facts: [{ type: "run-recovered", run }] };
    });
  }

  /**
   * `make` is called in its turn. False after the driver has stopped. Errors: those of `make`, and those by which the record
   * refuses the run.
   */
  async submit(make: () => { run: Run; facts: readonly Fact[] }): Promise<boolean> {
    let runId = "";
    const submitted = this.happen(() => {
      const { run, facts } = make();
      this.#open(run);
      ({ runId } = run);
      return {
        input: { type: "run-submitted", runId },
        facts: [{ type: "run-submitted", run }, ...facts],
        alone: true,
      };
    });
    try {
      await submitted;
    } catch (error) {
      this.#forget(runId);
      throw error;
    }
    return runId !== "";
  }

  /** Gives up to `count` of the runs that wait in the queue up, for other coordinators to have; returns which. */
  async shareQueue(count: number): Promise<string[]> {
    const effects = await this.happen({ input: { type: "queue-shared", runs: count } });
    return effects.flatMap((effect) => (effect.type === "give-up-run" ? [effect.runId] : []));
  }

  /** Whether a run was recovered or submitted here, and neither given up nor its end recorded. */
  owns(runId: string): boolean {
    return this.#owned.has(runId);
  }

  taskOf(taskId: string): Task | undefined {
    return this.state.tasks.find((task) => task.taskId === taskId);
  }

  /** A run that is prepared. Errors: `not_found` when it is not prepared yet or has ended. */
  run(runId: string): T {
    const training = this.#runs.get(runId)?.training;
    if (training) return training;
    throw new GradpoolError("not_found", `run ${runId} has ended or is not prepared yet`);
  }

  /** Whether the result of a task counts (I3). */
  async result(taskId: string, result: TaskResult): Promise<boolean> {
    const effects = await this.happen({ input: { type: "result-arrived", taskId, result } });
    return effects.some(({ type }) => type === "accept-result");
  }

  /** No input has any effect from now on. */
  stop(): void {
    this.#turns.stop();
  }

  /** Finishes the steps in progress, if runs resume later, and stops all work. */
  async [Symbol.asyncDispose](): Promise<void> {
    const drainMs = this.#drainMs;
    if (drainMs !== undefined) {
      // So that what trainers computed is saved.
      await this.happen({ input: { type: "pool-stopping" } });
      await this.#ports.clock.sleep(drainMs, this.#quiet.signal).catch(() => {});
    }
    this.stop();
    const phases = [...this.#runs.values()].map(phaseOf);
    await Promise.all(phases.map((run) => (drainMs === undefined ? run.end("cancelled") : run.leave())));
    await Promise.all(this.#ending);
  }

  #forget(runId: string): void {
    this.#runs.delete(runId);
    this.#owned.delete(runId);
  }

  #open(run: Run): void {
    const { runId } = run;
    this.#owned.add(runId);
    const listener: RunListener = {
      onTrouble: (reason) => void this.happen({ input: { type: "run-troubled", runId, reason } }),
      onCheckpoint: (checkpoint) => void this.happen({ facts: [{ type: "checkpoint-changed", runId, checkpoint }] }),
      onFailed: (error) => this.#fail(runId, error),
    };
    this.#runs.set(runId, { preparing: this.#ports.openRun(run, listener), training: undefined });
  }

  #carryOut({ facts, effects }: Output): void {
    for (const fact of facts) {
      if (fact.type === "run-state" && fact.state === "paused") this.#runs.get(fact.runId)?.training?.rest();
    }
    for (const effect of effects) this.#ports.traced(effect, () => this.#contain(effect));
  }

  /** An error of one run ends only that run. */
  #contain(effect: Effect): void {
    try {
      this.#obey(effect);
    } catch (error) {
      if (effect.type === "assign" || effect.type === "accept-result") this.#fail(effect.task.runId, error);
      else throw error;
    }
  }

  #obey(effect: Effect): void {
    switch (effect.type) {
      case "assign":
      case "cancel-task":
      case "disconnect":
        this.#ports.trainers.carryOut(effect);
        break;
      case "drop-result":
        break;
      case "pool-quiet":
        this.#quiet.abort();
        break;
      case "end-run":
        this.#endRun(effect);
        break;
      case "give-up-run":
        void this.#runs.get(effect.runId)?.preparing.leave();
        this.#forget(effect.runId);
        break;
      default: {
        const runId = effect.type === "accept-result" ? effect.task.runId : effect.runId;
        const run = this.#runs.get(runId);
        if (!run) break;
        if (effect.type === "prepare") this.#report(runId, () => this.#prepare(runId, run));
        else if (effect.type === "retry") phaseOf(run).retry();
        else this.#obeyForRun(effect, runId, this.run(runId));
      }
    }
  }

  #obeyForRun(effect: TrainingEffect, runId: string, run: T): void {
    switch (effect.type) {
      case "open-stream":
        this.#report(runId, async () => {
          const arrived = (lastOfStep: boolean, needs?: Needs) =>
            void this.happen({ input: { type: "micro-batch-arrived", runId, lastOfStep, ...needs } });
          const lastStep = await run.stream(arrived);
          await this.happen({ input: { type: "stream-ended", runId, lastStep } });
        });
        break;
      case "accept-result":
        run.accept(effect.task, effect.result);
        break;
      case "apply-step":
        this.#report(runId, () => this.#applyStep(runId, run));
        break;
      case "open-evaluation":
        this.#report(runId, () =>
          run.evaluate((last) => void this.happen({ input: { type: "evaluation-batch-arrived", runId, last } })),
        );
        break;
      case "apply-evaluation":
        this.#report(runId, () => this.#applyEvaluation(runId, run));
        break;
      case "finish":
        this.#report(runId, async () => {
          await run.finish();
          await this.happen({ input: { type: "run-finished", runId } });
        });
        break;
    }
  }

  async #prepare(runId: string, run: OpenRun<T>): Promise<void> {
    const training = await run.preparing.prepare();
    await this.happen(() => {
      if (!this.#runs.has(runId)) return {};
      run.training = training;
      const { prepared, found, steps, evaluations } = training.findings;
      const facts: Fact[] = [{ type: "run-prepared", runId, found, steps, evaluations }];
      return { input: { type: "run-prepared", runId, ...prepared }, facts };
    });
  }

  async #applyStep(runId: string, run: T): Promise<void> {
    const { step, rowCounts, evaluate } = run.applyStep();
    await this.happen({ facts: [{ type: "step-made", runId, step, rowCounts }] });
    // A save after an evaluation includes it.
    if (!evaluate) await run.saveIfDue();
    await this.happen({ input: { type: "step-applied", runId, evaluate } });
  }

  async #applyEvaluation(runId: string, run: T): Promise<void> {
    const { evaluation, stop, stoppedEarly } = run.applyEvaluation();
    await this.happen({ facts: [{ type: "evaluation-made", runId, evaluation, stoppedEarly }] });
    await run.saveIfDue();
    await this.happen({ input: { type: "evaluation-applied", runId, stop } });
  }

  #endRun({ runId, outcome, code, message }: Effect & { type: "end-run" }): void {
    const run = this.#runs.get(runId);
    this.#runs.delete(runId);
    this.#ports.trainers.endRun(runId);
    // The output folder is free before anyone learns that the run has ended.
    const ending = (async () => {
      if (run) await phaseOf(run).end(outcome);
      await this.happen({ facts: [{ type: "run-ended", runId, outcome, code, message, at: new Date() }] });
      this.#owned.delete(runId);
    })();
    this.#ending.add(ending);
    void ending.finally(() => this.#ending.delete(ending));
  }

  /** Runs something that takes time; its failure is the run's. */
  #report(runId: string, work: () => Promise<void>): void {
    work().catch((error: unknown) => this.#fail(runId, error));
  }

  #fail(runId: string, reason: unknown): void {
    if (!this.#runs.has(runId)) return;
    const { code, message } = GradpoolError.from(reason);
    if (code === "internal") this.#ports.onUnexpected(runId, reason);
    void this.happen({ input: { type: "run-failed", runId, code, message } });
  }
}

const phaseOf = <T extends TrainingPort>({ preparing, training }: OpenRun<T>): PreparingPort<T> | T =>
  training ?? preparing;
