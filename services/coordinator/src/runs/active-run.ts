import { resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { loraScaling } from "@gradpool/recipe";
import {
  concat,
  RunState,
  type Cursor,
  type MicroBatchTask,
  type ResultHeader,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import type { TaskState } from "../core/state.js";
import type { TrainerConnection } from "../trainer-connection.js";
import { whileAway, type Services } from "../services.js";
import { checkpointFiles, resultFiles, type Files, type RunFacts } from "./files.js";
import { drawLossPlot } from "./loss-plot.js";
import { MicroBatchBuffer } from "./micro-batch-buffer.js";
import { prepareRun, type CompleteRecipe, type PreparedRun } from "./prepare.js";
import type { RunRecord } from "./run-record.js";
import { saveFiles } from "./save-files.js";
import { Training, type MicroBatchResult } from "./training.js";

/** Bytes of a result's safetensors file besides its values, at most about those of the adapter's. */
const RESULT_HEADER_BYTES = 1 << 20;
/** How long the end of a run waits for the store to take its folder back. */
const RELEASE_MS = 2_000;

/** What a run holds once it is prepared: gone when it ends, but for its record. */
interface Ready {
  prepared: PreparedRun;
  training: Training;
  buffer: MicroBatchBuffer;
  tokenizerFiles: Files;
}

/** The I/O of one run that has not ended: its data, numbers and files. The core says what to do when. */
export class ActiveRun {
  readonly #runId: string;
  readonly #spec: RunSpec;
  readonly #recipe: CompleteRecipe;
  readonly #record: RunRecord;
  readonly #services: Services;
  readonly #over = new AbortController();
  #ready: Ready | undefined;
  /** Of the trainers: one class, by the core's rule. */
  #runtime = { deviceClass: "", version: "" };
  #stepBegan = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(runId: string, spec: RunSpec, recipe: CompleteRecipe, record: RunRecord, services: Services) {
    this.#runId = runId;
    this.#spec = spec;
    this.#recipe = recipe;
    this.#record = record;
    this.#services = services;
  }

  /** Errors: those of prepareRun. */
  async prepare(): Promise<{ gradientAccumulation: number; totalSteps: number }> {
    const { signal } = this.#over;
    this.#record.update({ state: RunState.RUN_STATE_PREPARING });
    const report = (preparing: string) => this.#record.update({ preparing });
    const prepared = await prepareRun(this.#runId, this.#spec, this.#recipe, this.#services, report, signal);
    const tokenizerFiles = await whileAway(
      "tokenizer",
      () => this.#loadTokenizerFiles(prepared.dataset.tokenizer),
      signal,
    );
    // It may have been cancelled while the last answer was under way.
    signal.throwIfAborted();
    const { gradientAccumulation } = prepared.recipe;
    const buffer = new MicroBatchBuffer(gradientAccumulation);
    this.#ready = { prepared, training: new Training(prepared), buffer, tokenizerFiles };
    this.#stepBegan = performance.now();
    const { outputDir, totalSteps, rows, trainableParameters, allParameters } = prepared;
    const spec = { ...this.#spec, outputDir };
    const facts = { spec, totalSteps, rows, trainableParameters, allParameters };
    this.#record.update({ ...facts, state: RunState.RUN_STATE_RUNNING, startedAt: new Date(), preparing: "" });
    return { gradientAccumulation, totalSteps };
  }

  /**
   * Streams micro-batches into the buffer until all steps are there; a broken stream goes on behind its
   * last cursor. Errors: `failed_precondition` when the data is not what was counted, and the service's.
   */
  async stream(onMicroBatch: (lastOfEpoch: boolean) => void): Promise<void> {
    const { prepared, buffer } = this.#need();
    const { dataset, recipe, totalSteps, datasetHash } = prepared;
    const { signal } = this.#over;
    let cursor: Cursor | undefined;
    await whileAway(
      "data-stream",
      async (progressed) => {
        const request = { dataset, epochs: recipe.epochs, cursor };
        for await (const { microBatch } of this.#services.dataStream.openStream(request, { signal })) {
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
      },
      signal,
    );
  }

  /** The message that hands a task to a trainer. */
  taskMessage(task: TaskState, { deviceClass, version }: TrainerConnection): MicroBatchTask {
    const { prepared, buffer } = this.#need();
    const { lora, seed } = prepared.recipe;
    const { rows, rowLength, ids, lengths } = buffer.get(task.step, task.microBatch);
    this.#runtime = { deviceClass, version };
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

  /**
   * Makes the step that is complete, and starts its checkpoint if one is due; waits for the one before,
   * so that no more than one is in memory. Errors: as Training.applyStep.
   */
  async applyStep(onSaveFailed: (error: unknown) => void): Promise<void> {
    const { training, buffer, prepared } = this.#need();
    const { epoch, cursorAfter } = buffer.takeStep();
    const now = performance.now();
    const metrics = training.applyStep(epoch, (now - this.#stepBegan) / 1000);
    this.#stepBegan = now;
    this.#record.addStep(metrics);
    const { saveEvery } = prepared.recipe;
    const isDue = saveEvery > 0 && metrics.step % saveEvery === 0;
    if (!isDue && metrics.step < prepared.totalSteps) return;
    await this.#saving;
    const files = checkpointFiles(this.#facts(), training, cursorAfter);
    this.#saving = this.#saveCheckpoint(metrics, files);
    this.#saving.catch(onSaveFailed);
  }

  /** Writes the result. */
  async finish(): Promise<void> {
    const { training, prepared } = this.#need();
    const { signal } = this.#over;
    await this.#saving;
    const plot = await drawLossPlot(this.#record.steps, this.#spec.modelId, signal);
    const files = new Map([...resultFiles(this.#facts(), training), ...plot]);
    const { step = 0, epoch = 0 } = this.#record.steps.at(-1) ?? {};
    const header = { outputDir: prepared.outputDir, runId: this.#runId, name: "", epoch, step, keepLastN: 0 };
    await whileAway("checkpoint-store", () => saveFiles(this.#services.checkpointStore, header, files, signal), signal);
  }

  /** Stops all work and gives the output folder back. */
  async end(): Promise<void> {
    this.#over.abort();
    this.#ready = undefined;
    await this.#saving.catch(() => {});
    const claim = { outputDir: resolve(this.#spec.outputDir), runId: this.#runId };
    const signal = AbortSignal.timeout(RELEASE_MS);
    const release = () => this.#services.checkpointStore.release(claim, { signal });
    // A store that stopped has given its claims back by itself.
    await whileAway("checkpoint-store", release, signal).catch(() => {});
  }

  async #saveCheckpoint({ step, epoch }: StepMetrics, files: Files): Promise<void> {
    const { signal } = this.#over;
    const { outputDir, recipe } = this.#need().prepared;
    const name = `checkpoint-epoch${epoch}-step${step}`;
    const header = { outputDir, runId: this.#runId, name, epoch, step, keepLastN: recipe.keepLastNCheckpoints };
    const { path, removed } = await whileAway(
      "checkpoint-store",
      () => saveFiles(this.#services.checkpointStore, header, files, signal),
      signal,
    );
    this.#record.addCheckpoint({ path, step, epoch, removed: false });
    for (const gone of removed) this.#record.addCheckpoint({ path: gone, ...numbersOf(gone), removed: true });
  }

  async #loadTokenizerFiles(tokenizer: PreparedRun["dataset"]["tokenizer"]): Promise<Files> {
    const pieces = new Map<string, Uint8Array[]>();
    const { signal } = this.#over;
    for await (const { path, data } of this.#services.tokenizer.getTokenizerFiles({ tokenizer }, { signal })) {
      pieces.set(path, [...(pieces.get(path) ?? []), data]);
    }
    return new Map([...pieces].map(([path, parts]) => [path, concat(parts)]));
  }

  #facts(): RunFacts {
    const { prepared, tokenizerFiles } = this.#need();
    const { steps } = this.#record;
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

function numbersOf(checkpointPath: string): { epoch: number; step: number } {
  const [, epoch, step] = /checkpoint-epoch(\d+)-step(\d+)$/.exec(checkpointPath) ?? [];
  return { epoch: Number(epoch ?? 0), step: Number(step ?? 0) };
}
