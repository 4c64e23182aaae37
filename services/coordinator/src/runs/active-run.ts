import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { loraScaling } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { concat, type Cursor, type MicroBatchTask, type ResultHeader, type Run, type StepMetrics } from "@gradpool/rpc";
import type { PreparedFacts, TaskState } from "../core/state.js";
import type { TrainerConnection } from "../trainer-connection.js";
import type { Services } from "../services.js";
import { Checkpoints, type CheckpointsOptions } from "./checkpoints.js";
import type { Files, RunFacts } from "./files.js";
import { drawLossPlot } from "./loss-plot.js";
import { MicroBatchBuffer } from "./micro-batch-buffer.js";
import { Patience } from "./patience.js";
import { prepareRun, type CompleteRecipe, type PreparedRun } from "./prepare.js";
import type { Doing } from "./run-record.js";
import { runtimeClass, type Runtime } from "./start.js";
import { Training, type MicroBatchResult } from "./training.js";

/** Bytes of a result's safetensors file besides its values, at most about those of the adapter's. */
const RESULT_HEADER_BYTES = 1 << 20;
/** How long the end of a run waits for the store to take its folder back. */
const RELEASE_MS = 2_000;
/** How long a coordinator that stops waits for a run's last save. */
const SAVE_MS = 3_000;

/** What a run holds once it is prepared: gone when it ends, but for its record. */
interface Ready {
  prepared: PreparedRun;
  training: Training;
  buffer: MicroBatchBuffer;
  tokenizerFiles: Files;
  /** All steps so far, those before an interruption included. */
  steps: StepMetrics[];
  checkpoints: Checkpoints;
  /** Where the data stands behind the last step; undefined before the first. */
  cursor: Cursor | undefined;
}

/** What happens to a run, for whoever drives it. */
export interface RunListener extends Pick<CheckpointsOptions, "onCheckpoint" | "onFailed"> {
  /** Told to people. */
  onDoing: (doing: Partial<Doing>) => void;
  /** It is held up, or, with an empty reason, not any more. */
  onTrouble: (reason: string) => void;
}

export interface ActiveRunOptions extends RunListener {
  /** As it is recorded. */
  run: Run;
  recipe: CompleteRecipe;
  services: Services;
  recoveryMs: number;
}

/** The I/O of one run that has not ended: its data, numbers and files. The core says what to do when. */
export class ActiveRun {
  readonly #options: ActiveRunOptions;
  readonly #runId: string;
  readonly #spec: NonNullable<Run["spec"]>;
  readonly #over = new AbortController();
  readonly #patience: Patience;
  #ready: Ready | undefined;
  /** Of the trainers: one class, by the core's rule. */
  #runtime: Runtime = { deviceClass: "", version: "" };
  #stepBegan = 0;

  constructor(options: ActiveRunOptions) {
    const { runId, spec } = options.run;
    if (!spec) throw new Error(`run ${runId} has no spec`);
    this.#options = options;
    this.#runId = runId;
    this.#spec = spec;
    this.#patience = new Patience(options.onTrouble);
  }

  /** `runtimes`: of the trainers in the pool. Gives what the core and people want to know. Errors: those of prepareRun. */
  async prepare(runtimes: Runtime[]): Promise<{ facts: PreparedFacts; found: Partial<Run>; steps: StepMetrics[] }> {
    const { run, recipe, services, onDoing } = this.#options;
    const { signal } = this.#over;
    const prepared = await prepareRun({
      ...{ runId: this.#runId, spec: this.#spec, recipe, services, signal, runtimes },
      patience: this.#patience,
      before: run.startedAt && { rows: run.rows, resumedFrom: run.resumedFrom },
      report: (preparing) => onDoing({ preparing }),
    });
    const load = () => this.#loadTokenizerFiles(prepared.dataset.tokenizer);
    const tokenizerFiles = await this.#patience.through("tokenizer", load, signal);
    // It may have been cancelled while the last answer was under way.
    signal.throwIfAborted();
    const { outputDir, totalSteps, rows, trainableParameters, allParameters, resumed, resumedFrom, notes } = prepared;
    const { gradientAccumulation } = prepared.recipe;
    const steps = [...(resumed?.steps ?? [])];
    const stepsDone = steps.length;
    if (resumed) this.#runtime = resumed.runtime;
    this.#ready = {
      ...{ prepared, tokenizerFiles, steps, cursor: resumed?.cursor },
      training: new Training(prepared),
      buffer: new MicroBatchBuffer(gradientAccumulation, stepsDone),
      checkpoints: new Checkpoints({ ...this.#options, patience: this.#patience, signal }, stepsDone),
    };
    this.#stepBegan = performance.now();
    const facts = { gradientAccumulation, totalSteps, stepsDone };
    const spec = { ...this.#spec, outputDir };
    const startedAt = run.startedAt ?? new Date();
    return {
      facts: { ...facts, deviceClass: resumed && runtimeClass(resumed.runtime) },
      found: {
        spec,
        totalSteps,
        rows,
        trainableParameters,
        allParameters,
        startedAt,
        resumedFrom,
        notes: [...run.notes, ...notes],
      },
      steps,
    };
  }

  /**
   * Streams micro-batches into the buffer until all steps are there; a broken stream goes on behind its
   * last cursor. Errors: `failed_precondition` when the data is not what was counted, and the service's.
   */
  async stream(onMicroBatch: (lastOfEpoch: boolean) => void): Promise<void> {
    const { prepared, buffer, cursor: start } = this.#need();
    const { dataset, recipe, totalSteps, datasetHash } = prepared;
    const { signal } = this.#over;
    let cursor = start;
    const read = async (progressed: () => void) => {
      const request = { dataset, epochs: recipe.epochs, cursor };
      for await (const { microBatch } of this.#options.services.dataStream.openStream(request, { signal })) {
        const cursorAfter = microBatch?.cursorAfter;
        if (!microBatch || !cursorAfter) throw new Error("the data stream sent no micro-batch with a cursor");
        if (cursorAfter.datasetHash !== datasetHash) throw changedData("its files are others now");
        await buffer.room(signal);
        buffer.add(microBatch);
        cursor = cursorAfter;
        progressed();
        onMicroBatch(microBatch.lastOfEpoch);
        if (buffer.wholeSteps === totalSteps) return;
      }
      throw changedData(`it ended after ${buffer.wholeSteps} of ${totalSteps} steps`);
    };
    await this.#patience.through("data-stream", read, signal);
  }

  /** Tries at once again what it waits for. */
  retry(): void {
    this.#patience.wake();
  }

  /** Saves what it has, since it may rest for long. */
  rest(): void {
    const ready = this.#ready;
    if (ready?.cursor) ready.checkpoints.recover(this.#facts(), ready.training, ready.cursor);
  }

  /** The message that hands a task to a trainer. */
  taskMessage(task: TaskState, { runtime }: TrainerConnection): MicroBatchTask {
    const { prepared, buffer } = this.#need();
    const { lora, seed, modelDropout, gradientCheckpointing } = prepared.recipe;
    const { rows, rowLength, ids, lengths } = buffer.get(task.step, task.microBatch);
    this.#runtime = runtime;
    return {
      taskId: task.taskId,
      runId: task.runId,
      step: task.step,
      microBatch: task.microBatch,
      adapterVersion: task.step - 1,
      base: prepared.base,
      loraScaling: loraScaling(lora),
      loraR: lora.r,
      loraDropout: lora.dropout,
      seed,
      rows,
      rowLength,
      ids,
      lengths,
      // Where there are none to leave out, both share a session (I9).
      modelDropout: modelDropout && prepared.source.model.dropouts.length > 0,
      gradientCheckpointing,
      ownRanks: Object.fromEntries(prepared.targets.flatMap(({ name, r }) => (r === undefined ? [] : [[name, r]]))),
      ownScalings: Object.fromEntries(prepared.ownScalings),
    };
  }

  /** Errors: `not_found` when that version is not the current one. */
  adapterFile(version: number): Uint8Array {
    const training = this.#ready?.training;
    if (training?.version === version) return training.adapterFile();
    throw new GradpoolError("not_found", `run ${this.#runId} has no adapter of version ${version} any more`);
  }

  /** Bytes of gradients that a result may have. */
  resultLimit(): number {
    return (this.#ready?.training.adapterFile().byteLength ?? 0) + RESULT_HEADER_BYTES;
  }

  /** Reads the result of a task. Errors: `invalid_argument` when it is not what the task asked for. */
  readResult(task: TaskState, { lossSum, targetTokens }: ResultHeader, gradients: Uint8Array): MicroBatchResult {
    const { training, buffer } = this.#need();
    const expected = buffer.get(task.step, task.microBatch).targetTokens;
    try {
      if (targetTokens !== expected) throw new Error(`it counts ${targetTokens} targets instead of ${expected}`);
      return { lossSum, targetTokens, gradients: training.readGradients(gradients) };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new GradpoolError("invalid_argument", `the result of task ${task.taskId} cannot be used: ${reason}`, {
        cause,
      });
    }
  }

  /** Takes the result of a task that the core accepted. */
  accept({ step, microBatch }: TaskState, result: MicroBatchResult): void {
    const { training, buffer } = this.#need();
    training.accept(microBatch, result);
    buffer.done(step, microBatch);
  }

  /** Makes the step that is complete. Errors: as Training.applyStep. */
  applyStep(): StepMetrics {
    const ready = this.#need();
    const { epoch, cursorAfter } = ready.buffer.takeStep();
    if (!cursorAfter) throw new Error("the data stream sent no micro-batch with a cursor");
    const now = performance.now();
    const metrics = ready.training.applyStep(epoch, (now - this.#stepBegan) / 1000);
    this.#stepBegan = now;
    ready.steps.push(metrics);
    ready.cursor = cursorAfter;
    return metrics;
  }

  /** Starts to save what is due after the last step, once the save before it is done. */
  async saveIfDue(): Promise<void> {
    const { training, prepared, checkpoints, cursor } = this.#need();
    if (!cursor) throw new Error("no step was made yet");
    const { version } = training;
    const { saveEvery } = prepared.recipe;
    const isDue = version === prepared.totalSteps || (saveEvery > 0 && version % saveEvery === 0);
    await checkpoints.afterStep(isDue, this.#facts(), training, cursor);
  }

  /** Writes the result. */
  async finish(): Promise<void> {
    const { training, checkpoints, steps, cursor } = this.#need();
    if (!cursor) throw new Error("no step was made yet");
    const plot = await drawLossPlot(steps, this.#spec.modelId, this.#over.signal);
    await checkpoints.finish(this.#facts(), training, cursor, plot);
  }

  /** Stops all work and gives the output folder back. */
  async end(): Promise<void> {
    await this.#stop();
    const claim = { outputDir: resolve(this.#spec.outputDir), runId: this.#runId };
    const signal = AbortSignal.timeout(RELEASE_MS);
    const give = () => this.#options.services.checkpointStore.release(claim, { signal });
    // A store that stopped has given its claims back by itself.
    await new Patience(() => {}).through("checkpoint-store", give, signal).catch(() => {});
  }

  /** Stops all work of a run that goes on when the coordinator starts again: it keeps its folder, and saves what it has. */
  async leave(): Promise<void> {
    this.rest();
    const late = new AbortController();
    const saved = this.#ready?.checkpoints.settled();
    await Promise.race([saved, delay(SAVE_MS, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
    await this.#stop();
  }

  async #stop(): Promise<void> {
    this.#over.abort();
    const saving = this.#ready?.checkpoints.settled();
    this.#ready = undefined;
    await saving;
  }

  async #loadTokenizerFiles(tokenizer: PreparedRun["dataset"]["tokenizer"]): Promise<Files> {
    const pieces = new Map<string, Uint8Array[]>();
    const { signal } = this.#over;
    const { services } = this.#options;
    for await (const { path, data } of services.tokenizer.getTokenizerFiles({ tokenizer }, { signal })) {
      pieces.set(path, [...(pieces.get(path) ?? []), data]);
    }
    return new Map([...pieces].map(([path, parts]) => [path, concat(parts)]));
  }

  #facts(): RunFacts {
    const { prepared, tokenizerFiles, steps } = this.#need();
    return { runId: this.#runId, spec: this.#spec, prepared, steps, tokenizerFiles, runtime: this.#runtime };
  }

  #need(): Ready {
    if (!this.#ready) throw new GradpoolError("cancelled", `run ${this.#runId} is over`);
    return this.#ready;
  }
}

function changedData(what: string): GradpoolError {
  const message = `the data set changed since it was counted: ${what}; submit the run again`;
  return new GradpoolError("failed_precondition", message);
}
