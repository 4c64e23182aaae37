/** The work of one run in one life of the coordinator, in both of its phases. As the real one, it adds accepted results in the order of micro-batches. */
import assert from "node:assert/strict";
import { setMaxListeners } from "node:events";
import { Cursor, MicroBatch, type Evaluation, type RowCounts, type Run, type StepMetrics } from "@gradpool/rpc";
import type { MicroBatchResult, Task } from "../src/core/state.js";
import type { Findings, PreparingPort, RunListener, TrainingPort } from "../src/driver/ports.js";
import { MicroBatchBuffer } from "../src/runs/micro-batch-buffer.js";
import { addCounts, NO_ROWS } from "../src/runs/row-counts.js";
import { TargetGroups } from "../src/runs/target-groups.js";
import { hasTarget, isEvaluated, isStop, mix, plannedSteps, stepsOf, type SimulatedRun } from "./simulated-run.js";
import type { Saved } from "./simulated-store.js";

/** A trainer that stalls takes longer. */
export const LONGEST_TURN_MS = 25_000;

/** Where runs are recorded and saved. */
export interface WorkStore {
  readonly runs: ReadonlyMap<string, Run>;
  readonly saved: ReadonlyMap<string, Saved>;
  save(runId: string, saved: Saved): void;
}

export interface WorkOptions {
  run: Run;
  shape: SimulatedRun;
  store: WorkStore;
  listener: RunListener;
  /** Makes its output folder this coordinator's. */
  claim?: () => void;
  nowMs: () => number;
  upTo: (ms: number) => number;
  happens: (chance: number) => boolean;
  /** Chance that a save meets a full disk. */
  troubles: number;
  /** Saves of a run that trains are at least this far apart; undefined: as chance has it. */
  recoveryMs?: number | undefined;
  /** A trainer that takes longer for a micro-batch is stuck; LONGEST_TURN_MS unless given. */
  longestTurnMs?: number | undefined;
  /** How long a save takes at most; 800 ms unless given. */
  saveMs?: number;
  /** Never resolves when the coordinator is down by then. */
  after: (ms: number) => Promise<void>;
  deviceClassOf: (trainerId: string) => string | undefined;
}

const NUMBERS = { epoch: 0, loss: 0, gradNorm: 0, learningRate: 0, tokens: 1 };

const FOREVER = new AbortController().signal;
setMaxListeners(0, FOREVER);

export class SimulatedWork implements PreparingPort<SimulatedWork>, TrainingPort {
  readonly #options: WorkOptions;
  readonly #steps: StepMetrics[] = [];
  readonly #evaluations: Evaluation[] = [];
  #rowCounts: RowCounts = NO_ROWS;
  #cursor = 0;
  #buffer: MicroBatchBuffer;
  #isPrepared = false;
  #adapter = 1;
  /** Results by micro-batch that wait for an earlier one, and those that are added. */
  readonly #early = new Map<number, number>();
  #sum: number[] = [];
  /** What trainers took for them. */
  #deviceMs = 0;
  /** Of the trainers whose results were accepted. */
  #deviceClass: string | undefined;
  #savedAtMs = 0;
  #isOver = false;

  constructor(options: WorkOptions) {
    this.#options = options;
    this.#buffer = new MicroBatchBuffer(0);
  }

  /** What trainers took for the results of the step that is being made. */
  get deviceMs(): number {
    return this.#deviceMs;
  }

  /** Determines a trainer's result for a task. */
  get adapter(): number {
    return this.#adapter;
  }

  async prepare(): Promise<this> {
    const { run, store, upTo, after } = this.#options;
    assert.ok(store.runs.has(run.runId), "a run's work began before the run was recorded (I4)");
    await after(upTo(3_000));
    this.#options.claim?.();
    const saved = store.saved.get(run.runId);
    this.#steps.push(...(saved?.steps ?? []));
    this.#evaluations.push(...(saved?.evaluations ?? []));
    this.#rowCounts = saved?.rowCounts ?? NO_ROWS;
    this.#cursor = saved?.cursor ?? 0;
    this.#buffer = new MicroBatchBuffer(this.#steps.length);
    this.#adapter = saved?.adapter ?? 1;
    this.#deviceClass = saved?.deviceClass;
    this.#isPrepared = true;
    return this;
  }

  get findings(): Findings {
    const { run, shape, longestTurnMs = LONGEST_TURN_MS } = this.#options;
    const due = this.#steps.filter(({ step }) => isEvaluated(shape, step)).length;
    const totalSteps = plannedSteps(shape);
    return {
      prepared: {
        ...{ totalSteps, stepsDone: this.#steps.length },
        evaluate: due > this.#evaluations.length,
        stopped: this.#isStopped(),
        deviceClass: this.#deviceClass,
        longestTurnMs,
      },
      found: { totalSteps, startedAt: run.startedAt ?? new Date(0), rowCounts: this.#rowCounts },
      steps: [...this.#steps],
      evaluations: [...this.#evaluations],
    };
  }

  /** Continues after the steps already made. */
  async stream(onMicroBatch: (lastOfStep: boolean) => void): Promise<number> {
    const { shape, upTo, after } = this.#options;
    const { microBatchesPerEpoch } = shape;
    const { stepsWithoutTarget } = this.#rowCounts;
    const groups = new TargetGroups(shape.gradientAccumulation, this.#steps.length, plannedSteps(shape));
    for (let i = this.#cursor; i < shape.epochs * microBatchesPerEpoch; i++) {
      await after(upTo(100));
      const targetTokens = hasTarget(shape, i % microBatchesPerEpoch) ? 1 : 0;
      const microBatch = MicroBatch.create({
        ...{ rows: 1, rowsWithoutTarget: 1 - targetTokens, targetTokens },
        lastOfEpoch: (i + 1) % microBatchesPerEpoch === 0,
        cursorAfter: Cursor.create({ microBatches: i + 1 }),
      });
      for (const part of groups.add(microBatch)) {
        await this.#buffer.room(FOREVER);
        this.#buffer.add(part);
        onMicroBatch(part.lastOfStep);
      }
    }
    assert.equal(stepsWithoutTarget + groups.leftOut + this.#buffer.wholeSteps, plannedSteps(shape));
    return this.#buffer.wholeSteps;
  }

  async evaluate(onMicroBatch: (last: boolean) => void): Promise<void> {
    const { shape, upTo, after } = this.#options;
    for (let i = 1; i <= shape.heldOut; i++) {
      await after(upTo(100));
      onMicroBatch(i === shape.heldOut);
    }
  }

  /** I3: one result of a micro-batch, for the current step; I2: from one class of devices. */
  accept(
    { trainerId, step, microBatch, evaluation }: Task,
    { lossSum, computeMs = 0 }: MicroBatchResult & { computeMs?: number },
  ): void {
    const deviceClass = this.#options.deviceClassOf(trainerId);
    this.#deviceClass ??= deviceClass;
    assert.equal(deviceClass, this.#deviceClass, "a run was served by two classes of devices");
    assert.equal(step, this.#steps.length + (evaluation ? 0 : 1), "a result of another step was accepted");
    const isNew = microBatch >= this.#sum.length && !this.#early.has(microBatch);
    assert.ok(isNew, "a micro-batch was accepted twice");
    this.#early.set(microBatch, lossSum);
    this.#deviceMs += computeMs;
    if (!evaluation) this.#buffer.done(step, microBatch);
    for (let next; (next = this.#early.get(this.#sum.length)) !== undefined;) {
      this.#early.delete(this.#sum.length);
      this.#sum.push(next);
    }
  }

  /** I1: the step's micro-batches, each once, in order. */
  applyStep(): { step: StepMetrics; rowCounts: RowCounts; evaluate: boolean } {
    const { shape } = this.#options;
    const { microBatch, counts } = this.#buffer.takeStep();
    this.#cursor = microBatch.cursorAfter?.microBatches ?? assert.fail("a step without a cursor");
    this.#rowCounts = addCounts(this.#rowCounts, counts);
    const expected = stepsOf(shape)[this.#steps.length];
    assert.equal(this.#sum.length, expected, "a step lacks a micro-batch or has one too many");
    this.#adapter = this.#takeSum(this.#adapter);
    const [loss, seconds] = [this.#adapter, this.#takeSeconds()];
    const step = { ...NUMBERS, step: this.#steps.length + 1, loss, seconds };
    this.#steps.push(step);
    return { step, rowCounts: this.#rowCounts, evaluate: isEvaluated(shape, step.step) };
  }

  /** Each evaluation once, of all held-out micro-batches, in order. */
  applyEvaluation(): { evaluation: Evaluation; stop: boolean; stoppedEarly: boolean } {
    const { shape } = this.#options;
    const step = this.#steps.length;
    assert.ok(isEvaluated(shape, step), "an evaluation was not asked for");
    assert.notEqual(this.#evaluations.at(-1)?.step, step, "an adapter was evaluated twice");
    assert.equal(this.#sum.length, shape.heldOut, "an evaluation lacks a micro-batch or has one too many");
    const evaluation = {
      step,
      epoch: 0,
      loss: this.#takeSum(0),
      perplexity: 0,
      tokens: 1,
      seconds: this.#takeSeconds(),
    };
    this.#evaluations.push(evaluation);
    const stop = this.#isStopped();
    return { evaluation, stop, stoppedEarly: stop && step < stepsOf(shape).length };
  }

  async saveIfDue(): Promise<void> {
    const { upTo, happens, after, recoveryMs, saveMs = 800, nowMs } = this.#options;
    const isDue = recoveryMs === undefined ? happens(0.4) : nowMs() - this.#savedAtMs >= recoveryMs;
    if (isDue) {
      const saved = this.#saved();
      this.#savedAtMs = nowMs();
      void after(upTo(saveMs)).then(() => this.#saveAside(saved));
    }
    await after(upTo(200));
  }

  rest(): void {
    const { happens, upTo, after } = this.#options;
    const saved = this.#saved();
    if (this.#steps.length > 0 && happens(0.5)) void after(upTo(800)).then(() => this.#saveAside(saved));
  }

  async finish(): Promise<void> {
    const { shape, upTo, after } = this.#options;
    await after(upTo(500));
    const isLast = this.#steps.length === stepsOf(shape).length || this.#isStopped();
    assert.ok(isLast, "a result was written before its last step");
    await this.#save(this.#saved());
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#options.after(this.#options.upTo(50));
  }

  async leave(): Promise<void> {
    if (this.#isPrepared) await this.#save(this.#saved());
  }

  retry(): void {
    // A save that waits for disk space is retried by itself.
  }

  #isStopped(): boolean {
    return isStop(this.#evaluations.map(({ loss }) => loss));
  }

  #takeSeconds(): number {
    const seconds = this.#deviceMs / 1000;
    this.#deviceMs = 0;
    return seconds;
  }

  #takeSum(start: number): number {
    assert.equal(this.#early.size, 0);
    return this.#sum.splice(0).reduce(mix, start);
  }

  #saved(): Saved {
    const [steps, evaluations] = [[...this.#steps], [...this.#evaluations]];
    const [rowCounts, cursor, adapter, deviceClass] = [this.#rowCounts, this.#cursor, this.#adapter, this.#deviceClass];
    return { steps, evaluations, rowCounts, cursor, adapter, deviceClass };
  }

  /** While the run continues. */
  #saveAside(saved: Saved): void {
    this.#save(saved).catch((error: unknown) => this.#options.listener.onFailed(error));
  }

  /** A full disk holds up the run, and the save is made when there is space. */
  async #save(saved: Saved): Promise<void> {
    const { run, store, happens, upTo, troubles, listener, after } = this.#options;
    while (happens(troubles)) {
      if (this.#isOver) return;
      listener.onTrouble("no space left");
      await after(upTo(5_000));
      listener.onTrouble("");
    }
    const before = store.saved.get(run.runId);
    const progress = ({ steps, evaluations }: Saved) => steps.length + evaluations.length;
    if (!this.#isOver && (!before || progress(saved) >= progress(before))) store.save(run.runId, saved);
  }
}
