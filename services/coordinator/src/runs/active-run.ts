import { GradpoolError } from "@gradpool/errors";
import { loraScaling } from "@gradpool/recipe";
import {
  RunState,
  type Cursor,
  type MicroBatchTask,
  type ResultHeader,
  type RunSpec,
  type StepMetrics,
} from "@gradpool/rpc";
import type { TaskState } from "../core/state.js";
import { whileAway, type Services } from "../services.js";
import { saveFiles } from "./save-files.js";
import { checkpointFiles, resultFiles, type Files, type RunFacts } from "./files.js";
import { drawLossPlot } from "./loss-plot.js";
import { MicroBatchBuffer } from "./micro-batch-buffer.js";
import { prepareRun, type CompleteRecipe, type PreparedRun } from "./prepare.js";
import type { RunRecord } from "./run-record.js";
import { Training } from "./training.js";

/** What a run holds from PREPARING to READY: everything but its record is gone when it ends. */
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
  #deviceClass = "";
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
    const { tokenizer } = prepared.dataset;
    const tokenizerFiles = await whileAway(() => this.#loadTokenizerFiles(tokenizer), signal);
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

  /** Streams micro-batches into the buffer until the run is over or the data ends; a broken stream goes on behind its last cursor. */
  async stream(onMicroBatch: (lastOfEpoch: boolean) => void): Promise<void> {
    const { prepared, buffer } = this.#need();
    const { dataset, recipe } = prepared;
    const { signal } = this.#over;
    let cursor: Cursor | undefined;
    await whileAway(async () => {
      const request = { dataset, epochs: recipe.epochs, cursor };
      for await (const { microBatch } of this.#services.dataStream.openStream(request, { signal })) {
        if (!microBatch) continue;
        await buffer.room(signal);
        if (signal.aborted) return;
        buffer.add(microBatch);
        cursor = microBatch.cursorAfter;
        onMicroBatch(microBatch.lastOfEpoch);
      }
    }, signal);
  }

  /** The message that hands a task to a trainer. */
  taskMessage(task: TaskState, deviceClass: string): MicroBatchTask {
    const { prepared, buffer } = this.#need();
    const { lora, seed } = prepared.recipe;
    const { rows, rowLength, ids, lengths } = buffer.get(task.step, task.microBatch);
    this.#deviceClass = deviceClass;
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

  /** Takes an accepted result. Errors: as Training.readGradients. */
  accept({ microBatch, lossSum, targetTokens }: ResultHeader, gradients: Uint8Array): void {
    const { training } = this.#need();
    training.accept(microBatch, { lossSum, targetTokens, gradients: training.readGradients(gradients) });
  }

  /** Makes the step that is complete, and starts its checkpoint if one is due. Errors: as Training.applyStep. */
  applyStep(onSaveFailed: (error: unknown) => void): void {
    const { training, buffer, prepared } = this.#need();
    const last = buffer.takeStep();
    const now = performance.now();
    const metrics = training.applyStep(last.epoch, (now - this.#stepBegan) / 1000);
    this.#stepBegan = now;
    this.#record.addStep(metrics);
    const { saveEvery } = prepared.recipe;
    const isLast = metrics.step === prepared.totalSteps;
    if (!isLast && (saveEvery === 0 || metrics.step % saveEvery !== 0)) return;
    const files = checkpointFiles(this.#facts(), training, cursorBehind(last.cursorAfter));
    this.#saving = this.#saving.then(() => this.#saveCheckpoint(metrics, files));
    this.#saving.catch(onSaveFailed);
  }

  /** Writes the result. */
  async finish(): Promise<void> {
    const { training, prepared } = this.#need();
    await this.#saving;
    const plot = await drawLossPlot(this.#record.steps, `${this.#spec.modelId} · ${this.#runId}`);
    const files = new Map([...resultFiles(this.#facts(), training), ...plot]);
    const { step = 0, epoch = 0 } = this.#record.steps.at(-1) ?? {};
    const header = { outputDir: prepared.outputDir, runId: this.#runId, name: "", epoch, step, keepLastN: 0 };
    await whileAway(
      () => saveFiles(this.#services.checkpointStore, header, files, this.#over.signal),
      this.#over.signal,
    );
  }

  /** Stops all work and gives the output folder back. */
  async end(): Promise<void> {
    this.#over.abort();
    const outputDir = this.#ready?.prepared.outputDir ?? this.#spec.outputDir;
    this.#ready = undefined;
    await this.#saving.catch(() => {});
    await this.#services.checkpointStore.release({ outputDir, runId: this.#runId }).catch(() => {});
  }

  async #saveCheckpoint({ step, epoch }: StepMetrics, files: Files): Promise<void> {
    const { signal } = this.#over;
    const { outputDir, recipe } = this.#need().prepared;
    const name = `checkpoint-epoch${epoch}-step${step}`;
    const header = { outputDir, runId: this.#runId, name, epoch, step, keepLastN: recipe.keepLastNCheckpoints };
    const { path, removed } = await whileAway(
      () => saveFiles(this.#services.checkpointStore, header, files, signal),
      signal,
    );
    this.#record.addCheckpoint({ path, step, epoch, removed: false });
    for (const gone of removed) this.#record.addCheckpoint({ path: gone, ...numbersOf(gone), removed: true });
  }

  async #loadTokenizerFiles(tokenizer: PreparedRun["dataset"]["tokenizer"]): Promise<Files> {
    const pieces = new Map<string, Uint8Array[]>();
    for await (const { path, data } of this.#services.tokenizer.getTokenizerFiles(
      { tokenizer },
      { signal: this.#over.signal },
    )) {
      pieces.set(path, [...(pieces.get(path) ?? []), data]);
    }
    return new Map([...pieces].map(([path, parts]) => [path, new Uint8Array(Buffer.concat(parts))]));
  }

  #facts(): RunFacts {
    const { prepared, tokenizerFiles } = this.#need();
    const deviceClass = this.#deviceClass;
    return { runId: this.#runId, spec: this.#spec, prepared, steps: this.#record.steps, tokenizerFiles, deviceClass };
  }

  #need(): Ready {
    if (!this.#ready) throw new GradpoolError("cancelled", `run ${this.#runId} is over`);
    return this.#ready;
  }
}

function cursorBehind(cursor: Cursor | undefined): Cursor {
  if (!cursor) throw new Error("the data stream sent a micro-batch without a cursor");
  return cursor;
}

function numbersOf(checkpointPath: string): { epoch: number; step: number } {
  const [, epoch, step] = /checkpoint-epoch(\d+)-step(\d+)$/.exec(checkpointPath) ?? [];
  return { epoch: Number(epoch ?? 0), step: Number(step ?? 0) };
}
