import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import type { Cursor, Evaluation, MicroBatchTask, ResultHeader, RowCounts, StepMetrics } from "@gradpool/rpc";
import { inSpan } from "@gradpool/tracing";
import type { MicroBatchResult, Needs, Outcome, Task } from "../core/state.js";
import type { Findings, TrainingPort } from "../driver/ports.js";
import type { TrainerConnection } from "../trainer-connection.js";
import { keptAdapter } from "./best-adapter.js";
import { firstStepMs } from "./charts.js";
import type { Checkpoints } from "./checkpoints.js";
import { bestOf, isEvaluationDue, stopsEarly } from "./evaluations.js";
import { Evaluator } from "./evaluator.js";
import type { Files, RunFacts } from "./files.js";
import { MicroBatchBuffer } from "./micro-batch-buffer.js";
import { streamHeldOut, streamSteps } from "./micro-batch-stream.js";
import type { PreparedRun } from "./preparation.js";
import { doubtOf, requirePlausible, type Doubt } from "./doubts.js";
import { longestTurnMs } from "./longest-turn.js";
import { enoughEpochs } from "./prepare.js";
import { inheritedSteps, type Progress } from "./progress.js";
import { addCounts } from "./row-counts.js";
import type { RunContext } from "./run-context.js";
import { platformName, type Platform } from "./platform.js";
import { taskMessage } from "./task-message.js";
import { trainerNeeds } from "./trainer-memory.js";
import { Training } from "./training.js";

/** Bytes of a result's safetensors file besides its values, at most about those of the adapter's. */
const RESULT_HEADER_BYTES = 1 << 20;
/** How long a coordinator that stops waits for a run's last save. */
const SAVE_MS = 3_000;
/** How long a run that failed may take to save what it made. */
const KEEP_MS = 30_000;

/** What a prepared run is made from. */
export interface TrainingRunParts {
  prepared: PreparedRun;
  tokenizerFiles: Files;
  checkpoints: Checkpoints;
  /** When the run first became RUNNING, perhaps before a restart of the coordinator. */
  startedAt: Date;
}

/** A run from the moment it is prepared: its data, numbers and files. The core decides what happens when. */
export class TrainingRun implements TrainingPort {
  readonly #context: RunContext;
  readonly #parts: TrainingRunParts;
  readonly #progress: Progress;
  readonly #training: Training;
  readonly #buffer: MicroBatchBuffer;
  /** The current evaluation. */
  #evaluator: Evaluator | undefined;
  /** Of the trainers: one class, by the core's rule. */
  #platform: Platform;
  #stepBegan = performance.now();
  readonly #startMs: number;
  /** The last step: as planned, until it is known to be an earlier one. */
  #lastStep: number;
  /** Its numbers are what is wrong: what a step made of them is not worth keeping. */
  #isSpoilt = false;

  constructor(context: RunContext, parts: TrainingRunParts, progress: Progress) {
    const { recipe, resumed, resumedFrom } = parts.prepared;
    this.#context = context;
    this.#parts = parts;
    this.#progress = progress;
    this.#training = new Training(parts.prepared);
    this.#buffer = new MicroBatchBuffer(progress.steps.length);
    this.#platform = resumed?.platform ?? { deviceClass: "", version: "" };
    this.#startMs = firstStepMs(parts.startedAt, resumedFrom, progress.steps, progress.evaluations);
    const isOver = (progress.cursor?.epoch ?? 0) >= enoughEpochs(recipe);
    this.#lastStep = isOver ? progress.steps.length : parts.prepared.totalSteps;
  }

  get findings(): Findings {
    const { prepared, startedAt } = this.#parts;
    const { run } = this.#context.options;
    const { steps, evaluations, evaluationPending, rowCounts } = this.#progress;
    const { recipe, resumed, resumedFrom, rows, totalSteps, trainableParameters, allParameters, outputDir } = prepared;
    const stopped = !evaluationPending && stopsEarly(evaluations, recipe);
    return {
      prepared: {
        ...{ totalSteps, stepsDone: steps.length },
        ...{ evaluate: evaluationPending, stopped },
        deviceClass: resumed && platformName(resumed.platform),
        onProcessors: recipe.basePrecision !== "float32",
        longestTurnMs: longestTurnMs(allParameters, recipe),
      },
      found: {
        ...(run.spec && { spec: { ...run.spec, outputDir } }),
        ...{ totalSteps, rows, trainableParameters, allParameters, resumedFrom, rowCounts },
        startedAt,
        stoppedEarly: stopped && steps.length < this.#lastStep,
        notes: [...run.notes, ...prepared.notes],
      },
      ...{ steps: [...steps], evaluations: [...evaluations] },
    };
  }

  /** Errors: those of streamSteps. */
  stream(onMicroBatch: (lastOfStep: boolean, needs: Needs) => void): Promise<number> {
    const { prepared } = this.#parts;
    const needsOf = trainerNeeds(prepared.source.model.description, prepared.recipe);
    return streamSteps(prepared, this.#progress, this.#buffer, this.#context.source, ({ microBatch, lastOfStep }) =>
      onMicroBatch(lastOfStep, needsOf(microBatch)),
    );
  }

  /** Errors: those of streamHeldOut. */
  evaluate(onMicroBatch: (last: boolean) => void): Promise<void> {
    const evaluator = new Evaluator(this.#training.version);
    this.#evaluator = evaluator;
    return streamHeldOut(this.#parts.prepared, evaluator, this.#context.source, onMicroBatch);
  }

  retry(): void {
    this.#context.outages.wake();
  }

  rest(): void {
    const { cursor } = this.#progress;
    if (cursor) this.#parts.checkpoints.recover(this.#facts(), this.#training, cursor);
  }

  /** The message that hands a task to a trainer. */
  taskMessage(task: Task, { platform }: TrainerConnection): Omit<MicroBatchTask, "traceparent"> {
    this.#platform = platform;
    const microBatch = this.#bufferOf(task).get(task.step, task.microBatch);
    return taskMessage(task, this.#parts.prepared, microBatch, this.#training.lossScale);
  }

  /** Errors: `not_found` when that version is not the current one. */
  adapterFile(version: number): Uint8Array {
    if (this.#training.version === version) return this.#training.adapterFile();
    throw new GradpoolError("not_found", `run ${this.#context.runId} no longer has an adapter of version ${version}`);
  }

  /** Memory for the gradients of a task's result. Errors: `invalid_argument` for more than it may have. */
  gradientsMemory({ evaluation }: Task, sizeBytes: number): Uint8Array {
    const limit = evaluation ? 0 : this.#training.adapterFile().byteLength + RESULT_HEADER_BYTES;
    if (sizeBytes <= limit) return this.#training.gradientFiles.take(sizeBytes);
    throw new GradpoolError("invalid_argument", "the result cannot be used: it is larger than the adapter");
  }

  /** The result does not count: its memory serves another. */
  drop({ gradients }: MicroBatchResult): void {
    this.#training.gradientFiles.giveBack(gradients);
  }

  /** Reads the result of a task. Errors: `invalid_argument` when it is not what the task asked for. */
  readResult(task: Task, { lossSum, targetTokens }: ResultHeader, file: Uint8Array): MicroBatchResult & Doubt {
    const expected = this.#bufferOf(task).get(task.step, task.microBatch).targetTokens;
    try {
      if (targetTokens !== expected) throw new Error(`it has ${targetTokens} targets instead of ${expected}`);
      requirePlausible(lossSum, targetTokens);
      const gradients = task.evaluation ? new Map() : this.#training.readGradients(file);
      const doubt = doubtOf(lossSum, gradients, this.#training.lossScale);
      return { lossSum, targetTokens, gradients, doubt };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      // Without the last part of the task's id, which is its trainer's secret.
      const place = `${task.runId}/${task.evaluation ? "eval-" : ""}${task.step}/${task.microBatch}`;
      throw new GradpoolError("invalid_argument", `the result of task ${place} cannot be used: ${reason}`, { cause });
    }
  }

  accept({ step, microBatch, evaluation }: Task, result: MicroBatchResult): void {
    if (evaluation) return this.#evaluator?.accept(microBatch, result);
    this.#training.accept(microBatch, result);
    this.#buffer.done(step, microBatch);
  }

  /** Errors: as Training.applyStep. */
  applyStep(): { step: StepMetrics; rowCounts: RowCounts; evaluate: boolean } {
    const { recipe, evalDataset } = this.#parts.prepared;
    const progress = this.#progress;
    const { microBatch, counts } = this.#buffer.takeStep();
    const { epoch, cursorAfter, lastOfEpoch } = microBatch;
    if (!cursorAfter) throw new Error("the data stream sent no micro-batch with a cursor");
    const now = performance.now();
    const step = this.#sound(() => this.#training.applyStep(epoch, (now - this.#stepBegan) / 1000));
    this.#stepBegan = now;
    progress.steps.push(step);
    progress.rowCounts = addCounts(progress.rowCounts, counts);
    progress.cursor = cursorAfter;
    if (cursorAfter.epoch >= enoughEpochs(recipe)) this.#lastStep = step.step;
    progress.evaluationPending =
      evalDataset !== undefined && isEvaluationDue(step.step, this.#lastStep, lastOfEpoch, recipe);
    return { step, rowCounts: progress.rowCounts, evaluate: progress.evaluationPending };
  }

  #sound<T>(work: () => T): T {
    this.#isSpoilt = true;
    const made = work();
    this.#isSpoilt = false;
    return made;
  }

  /** Errors: as Evaluator.finish. */
  applyEvaluation(): { evaluation: Evaluation; stop: boolean; stoppedEarly: boolean } {
    const { prepared } = this.#parts;
    const progress = this.#progress;
    const { evaluations, steps } = progress;
    const evaluation = this.#sound(() => this.#evaluator?.finish(steps.at(-1)?.epoch ?? 0));
    if (!evaluation) throw new Error("there is no evaluation");
    evaluations.push(evaluation);
    this.#evaluator = undefined;
    progress.evaluationPending = false;
    const { step } = evaluation;
    if (prepared.recipe.loadBestModelAtEnd && bestOf(evaluations)?.step === step) {
      progress.best = keptAdapter(step, this.#training.adapter);
    }
    this.#stepBegan = performance.now();
    const stop = stopsEarly(evaluations, prepared.recipe);
    return { evaluation, stop, stoppedEarly: stop && step < this.#lastStep };
  }

  async saveIfDue(): Promise<void> {
    this.#context.signal.throwIfAborted();
    const { prepared, checkpoints } = this.#parts;
    const { evaluations, best } = this.#progress;
    const { version } = this.#training;
    const { saveEvery } = prepared.recipe;
    const isLast = version === this.#lastStep || stopsEarly(evaluations, prepared.recipe);
    const isDue = isLast || best?.step === version || (saveEvery > 0 && version % saveEvery === 0);
    await checkpoints.afterStep(isDue, this.#facts(), this.#training, this.#cursor());
  }

  finish(): Promise<void> {
    return inSpan("finish", {}, () => this.#finish());
  }

  async #finish(): Promise<void> {
    const { spec, signal, options } = this.#context;
    const { checkpoints } = this.#parts;
    const facts = this.#facts();
    await checkpoints.finish(facts, this.#training, this.#cursor());
    // The run has its result: charts are a bonus, and their failure is not its own.
    try {
      const title = spec.runName === "" ? spec.modelId : `${spec.runName}: ${spec.modelId}`;
      await checkpoints.addCharts(facts, await options.charts.draw({ ...facts, title }, signal));
    } catch (reason) {
      signal.throwIfAborted();
      options.onRemark(
        `the run's charts are missing: ${GradpoolError.from(reason).message}; gradpool run plot draws them`,
      );
    }
  }

  async end(outcome: Outcome): Promise<void> {
    if (outcome === "failed") await within(KEEP_MS, this.#keep());
    await this.#stop();
    await this.#parts.checkpoints.saveMetrics(this.#facts(), this.#training, AbortSignal.timeout(SAVE_MS));
    await this.#context.release();
  }

  async leave(): Promise<void> {
    const { checkpoints } = this.#parts;
    const saved = async () => {
      // The save in progress is of an earlier step.
      await checkpoints.settled();
      this.rest();
      await checkpoints.settled();
    };
    await within(SAVE_MS, saved());
    await this.#stop();
  }

  /** What its steps made stays when it fails: what is being saved, and a checkpoint of the last one. */
  async #keep(): Promise<void> {
    const { prepared, checkpoints } = this.#parts;
    const { steps, cursor } = this.#progress;
    await checkpoints.settled();
    if (this.#isSpoilt || !cursor || steps.length === inheritedSteps(prepared.resumedFrom)) return;
    await checkpoints.keepLast(this.#facts(), this.#training, cursor);
  }

  async #stop(): Promise<void> {
    this.#context.stop();
    await this.#parts.checkpoints.settled();
  }

  #cursor(): Cursor {
    const { cursor } = this.#progress;
    if (!cursor) throw new Error("no step was made yet");
    return cursor;
  }

  /** A snapshot: the run may continue while they are written. */
  #facts(): RunFacts {
    const { runId, spec, options } = this.#context;
    const { ownerEpoch } = options;
    const { prepared, tokenizerFiles } = this.#parts;
    const { steps, rowCounts, evaluations, evaluationPending, best } = this.#progress;
    const progress = { steps: [...steps], rowCounts, evaluations: [...evaluations], evaluationPending, best };
    const startMs = this.#startMs;
    return { runId, ownerEpoch, spec, prepared, ...progress, tokenizerFiles, startMs, platform: this.#platform };
  }

  #bufferOf({ evaluation }: Task): MicroBatchBuffer {
    if (!evaluation) return this.#buffer;
    if (!this.#evaluator) throw new Error("there is no evaluation");
    return this.#evaluator.buffer;
  }
}

/** Waits for work at most this long. Its failures are its own. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  const late = new AbortController();
  const over = delay(ms, undefined, { signal: late.signal });
  await Promise.race([work, over]).catch(() => {});
  late.abort();
  await over.catch(() => {});
}
