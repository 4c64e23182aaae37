/**
 * The core as the engine drives it: changes of state are durable before other effects are carried out, steps
 * and results are in memory alone, and recovery points are saved now and then. It may crash at any write; its
 * successor knows only what the store holds.
 */
import assert from "node:assert/strict";
import { emptyPool, type Effect, type Event, type PoolState, type TaskState } from "../src/core/state.js";
import { waitingIn } from "../src/core/assignment.js";
import { ON_REQUEST } from "../src/core/runs.js";
import { step } from "../src/core/step.js";
import type { Agenda } from "./agenda.js";
import { gradientOf, isEvaluated, isStop, mix, stepsOf, type SimulatedRun } from "./simulated-run.js";
import { SimulatedCrash, type DurableRun, type SimulatedStore } from "./simulated-store.js";

export const LEASE_MS = 10_000;

/** The memory of one run: as the coordinator, it adds accepted results in the order of micro-batches. */
interface RunMemory {
  run: SimulatedRun;
  adapter: number;
  steps: number;
  early: Map<number, number>;
  sum: number[];
  /** Of each evaluation so far, by its order: what came of it. */
  evaluations: number[];
  /** Of the trainers whose results were accepted. */
  deviceClass: string | undefined;
}

export interface CoordinatorOptions {
  agenda: Agenda;
  store: SimulatedStore;
  runs: readonly SimulatedRun[];
  upTo: (ms: number) => number;
  happens: (chance: number) => boolean;
  /** Chance that a save meets a full disk. */
  troubles: number;
  assign: (trainerId: string, task: TaskState) => void;
  cancelTask: (trainerId: string, taskId: string) => void;
  deviceClassOf: (trainerId: string) => string | undefined;
  onCrash: () => void;
}

export class SimulatedCoordinator {
  readonly #options: CoordinatorOptions;
  readonly #memory = new Map<string, RunMemory>();
  #state: PoolState;
  #isDown = false;
  /** Of each run with waiting work: the runs that were given a place that it could have had. */
  readonly #passedOver = new Map<string, Set<string>>();

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#state = emptyPool(options.store.life);
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Takes up what the store holds, in order of submission. */
  start(): void {
    for (const { runId, paused, outcome } of this.#options.store.runs.values()) {
      if (outcome === undefined) this.tell({ type: "run-submitted", runId, paused });
    }
    this.#tick();
  }

  /** Does what a client asks for, once per request id (I4); gives what the request was about, or undefined in a crash. */
  ask(requestId: string, content: string, event: Event & { runId: string }): string | undefined {
    const known = this.#options.store.requests.get(requestId);
    if (known) return known.content === content ? known.subject : "refused";
    const { runId } = event;
    const isThere = this.tell(event, () => this.#options.store.requests.set(requestId, { content, subject: runId }));
    return isThere ? runId : undefined;
  }

  /** False when it crashed over it. */
  tell(event: Event, alongside: () => void = () => {}): boolean {
    if (this.#isDown) return false;
    try {
      const [after, effects] = step(this.#state, { nowMs: this.#options.agenda.nowMs, ...event });
      this.#record(effects, alongside);
      this.#state = after;
      this.#noteWaiting();
      for (const effect of effects) this.#obey(effect);
      return true;
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      this.crash();
      return false;
    }
  }

  crash(): void {
    if (this.#isDown) return;
    this.#isDown = true;
    this.#options.store.life += 1;
    this.#options.onCrash();
  }

  /** Nothing is left of what has ended. */
  assertEmpty(): void {
    assert.deepEqual([this.#state.runs, this.#state.tasks], [[], []], "the core keeps what has ended");
  }

  /** I4: what can be seen is durable, along with the request, before anything else happens. */
  #record(effects: readonly Effect[], alongside: () => void): void {
    const { store } = this.#options;
    const states = effects.filter((effect) => effect.type === "run-state");
    store.write(() => {
      alongside();
      for (const { runId, state, because } of states) {
        const saved = { steps: 0, adapter: 1, evaluations: [], deviceClass: undefined };
        const run = store.runs.get(runId) ?? { runId, paused: false, outcome: undefined, saved };
        store.runs.set(runId, { ...run, paused: state === "paused" && because === ON_REQUEST });
      }
    });
  }

  #tick(): void {
    this.tell({ type: "time-passed", leaseMs: LEASE_MS });
    this.#in(1_000, () => this.#tick());
  }

  /** Plans that die with this life. */
  #in(ms: number, act: () => void): void {
    this.#options.agenda.in(ms, () => {
      if (this.#isDown) return;
      try {
        act();
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
        this.crash();
      }
    });
  }

  #obey(effect: Effect): void {
    const { upTo } = this.#options;
    switch (effect.type) {
      case "prepare":
        this.#in(upTo(3_000), () => this.#prepared(effect.runId));
        break;
      case "open-stream":
        this.#stream(this.#memoryOf(effect.runId));
        break;
      case "assign":
        this.#checkFairness(effect);
        this.#options.assign(effect.trainerId, effect.task);
        break;
      case "cancel-task":
        this.#options.cancelTask(effect.trainerId, effect.taskId);
        break;
      case "accept-result":
        this.#accept(effect.task);
        break;
      case "apply-step":
        this.#apply(effect);
        break;
      case "open-evaluation":
        this.#streamHeldOut(this.#memoryOf(effect.runId));
        break;
      case "apply-evaluation":
        this.#applyEvaluation(effect);
        break;
      case "finish":
        this.#in(upTo(500), () => {
          const { run, ...memory } = this.#memoryOf(effect.runId);
          const isLast = memory.steps === stepsOf(run).length || isStop(memory.evaluations);
          assert.ok(isLast, "a result was written before its last step");
          const finished = () => void this.tell({ type: "run-finished", runId: effect.runId });
          this.#save(effect.runId, savedOf(memory), finished);
        });
        break;
      case "end-run": {
        const run = this.#options.store.runs.get(effect.runId);
        assert.ok(run && run.outcome === undefined, "a run ends once");
        this.#options.store.write(() =>
          this.#options.store.runs.set(effect.runId, { ...run, outcome: effect.outcome }),
        );
        this.#passedOver.delete(effect.runId);
        break;
      }
      case "run-state":
      case "retry":
      case "drop-result":
      case "disconnect":
      case "pool-quiet":
        break;
    }
  }

  #memoryOf(runId: string): RunMemory {
    const memory = this.#memory.get(runId);
    assert.ok(memory);
    return memory;
  }

  #prepared(runId: string): void {
    const run = this.#options.runs.find((candidate) => candidate.runId === runId);
    const durable = this.#options.store.runs.get(runId);
    assert.ok(run && durable);
    const { steps, adapter, deviceClass } = durable.saved;
    const evaluations = [...durable.saved.evaluations];
    this.#memory.set(runId, { run, steps, adapter, evaluations, deviceClass, early: new Map(), sum: [] });
    const { gradientAccumulation } = run;
    const totalSteps = stepsOf(run).length;
    const due = Array.from({ length: steps }, (_, i) => i + 1).filter((made) => isEvaluated(run, made)).length;
    const facts = { evaluate: due > evaluations.length, stopped: isStop(evaluations), deviceClass };
    this.tell({ type: "run-prepared", runId, gradientAccumulation, totalSteps, stepsDone: steps, ...facts });
  }

  #streamHeldOut({ run: { runId, heldOut } }: RunMemory): void {
    const send = (index: number) => {
      if (index === heldOut) return;
      this.#in(this.#options.upTo(100), () => {
        this.tell({ type: "evaluation-batch-arrived", runId, last: index + 1 === heldOut });
        send(index + 1);
      });
    };
    send(0);
  }

  /** From behind the steps that were made before. */
  #stream({ run, steps }: RunMemory): void {
    const done = stepsOf(run).slice(0, steps);
    const send = (index: number) => {
      if (index === run.epochs * run.microBatchesPerEpoch) return;
      this.#in(this.#options.upTo(100), () => {
        const lastOfEpoch = (index + 1) % run.microBatchesPerEpoch === 0;
        this.tell({ type: "micro-batch-arrived", runId: run.runId, lastOfEpoch });
        send(index + 1);
      });
    };
    send(done.reduce((sum, size) => sum + size, 0));
  }

  /** I3: one result of a micro-batch, for the step that is being made; I2: from one class of devices. */
  #accept({ trainerId, runId, step: number, microBatch, evaluation }: TaskState): void {
    const memory = this.#memoryOf(runId);
    const deviceClass = this.#options.deviceClassOf(trainerId);
    memory.deviceClass ??= deviceClass;
    assert.equal(deviceClass, memory.deviceClass, "a run was served by two classes of devices");
    assert.equal(number, memory.steps + (evaluation ? 0 : 1), "a result of another step was accepted");
    assert.ok(microBatch >= memory.sum.length && !memory.early.has(microBatch), "a micro-batch was accepted twice");
    memory.early.set(microBatch, gradientOf(memory.adapter, microBatch));
    for (let next; (next = memory.early.get(memory.sum.length)) !== undefined;) {
      memory.early.delete(memory.sum.length);
      memory.sum.push(next);
    }
  }

  /** I1: the step's micro-batches, each once, in order. */
  #apply({ runId, step: number }: { runId: string; step: number }): void {
    const memory = this.#memoryOf(runId);
    const { upTo, happens, store } = this.#options;
    assert.equal(number, memory.steps + 1, "a step was made twice or left out");
    assert.equal(
      memory.sum.length,
      stepsOf(memory.run)[memory.steps],
      "a step lacks a micro-batch or has one too many",
    );
    assert.equal(memory.early.size, 0);
    this.#in(upTo(200), () => {
      if (store.runs.get(runId)?.outcome !== undefined) return;
      memory.adapter = memory.sum.reduce(mix, memory.adapter);
      memory.sum = [];
      memory.steps += 1;
      const saved = savedOf(memory);
      if (happens(0.4)) this.#in(upTo(800), () => this.#save(runId, saved));
      this.tell({ type: "step-applied", runId, evaluate: isEvaluated(memory.run, memory.steps) });
    });
  }

  /** Each evaluation once, of all held-out micro-batches, in order. */
  #applyEvaluation({ runId, step: number }: { runId: string; step: number }): void {
    const memory = this.#memoryOf(runId);
    const { upTo, happens, store } = this.#options;
    assert.equal(number, memory.steps, "an adapter was evaluated that is not there");
    assert.ok(isEvaluated(memory.run, number), "an evaluation was not asked for");
    assert.equal(memory.sum.length, memory.run.heldOut, "an evaluation lacks a micro-batch or has one too many");
    this.#in(upTo(200), () => {
      if (store.runs.get(runId)?.outcome !== undefined) return;
      memory.evaluations.push(memory.sum.reduce(mix, 0));
      memory.sum = [];
      const saved = savedOf(memory);
      if (happens(0.4)) this.#in(upTo(800), () => this.#save(runId, saved));
      this.tell({ type: "evaluation-applied", runId, stop: isStop(memory.evaluations) });
    });
  }

  /** A full disk holds up the run, and a save is made when there is room. */
  #save(runId: string, saved: DurableRun["saved"], then = () => {}): void {
    const { store, happens, upTo, troubles } = this.#options;
    const run = store.runs.get(runId);
    if (!run || run.outcome !== undefined) return;
    if (happens(troubles)) {
      this.tell({ type: "run-troubled", runId, reason: "no space left" });
      return this.#in(upTo(5_000), () => {
        this.tell({ type: "run-troubled", runId, reason: "" });
        this.#save(runId, saved, then);
      });
    }
    const isNewer = saved.steps > run.saved.steps || saved.evaluations.length >= run.saved.evaluations.length;
    if (saved.steps >= run.saved.steps && isNewer) store.write(() => store.runs.set(runId, { ...run, saved }));
    then();
  }

  /** I8: while a run has work waiting, any other is given at most one place that it could have had. */
  #checkFairness({ trainerId, task: { runId: served } }: { trainerId: string; task: TaskState }): void {
    const classOf = this.#options.deviceClassOf(trainerId);
    for (const [runId, others] of this.#passedOver) {
      const deviceClass = this.#state.runs.find((run) => run.runId === runId)?.deviceClass;
      if (runId === served || (deviceClass !== undefined && deviceClass !== classOf)) continue;
      assert.ok(!others.has(served), `${served} was served twice while ${runId} waited`);
      others.add(served);
    }
    this.#passedOver.set(served, new Set());
    this.#noteWaiting();
  }

  /** Forgets the runs that have no work waiting, and notes those that now have. */
  #noteWaiting(): void {
    for (const run of this.#state.runs) {
      // Work that some trainer failed is for the others: whoever is free may not have it.
      const isFree = waitingIn(run).some((i) => run.group[i]?.failedOn.length === 0);
      if (!isFree) this.#passedOver.delete(run.runId);
      else if (!this.#passedOver.has(run.runId)) this.#passedOver.set(run.runId, new Set());
    }
  }
}

const savedOf = ({ steps, adapter, evaluations, deviceClass }: Omit<RunMemory, "run">): DurableRun["saved"] => ({
  steps,
  adapter,
  evaluations: [...evaluations],
  deviceClass,
});
