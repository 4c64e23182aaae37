import { setTimeout as delay } from "node:timers/promises";
import { loraScaling } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import type { CheckedRecipe } from "@gradpool/recipe";
import type { Evaluation, MicroBatchTask, ResultHeader, Run, StepMetrics } from "@gradpool/rpc";
import { absoluteOutputDir } from "@gradpool/service-kit";
import type { TaskState } from "../core/state.js";
import type { TrainerConnection } from "../trainer-connection.js";
import type { Services } from "../services.js";
import { keptAdapter } from "./best-adapter.js";
import { drawCharts, firstStepMs } from "./charts.js";
import { Checkpoints, type CheckpointsOptions } from "./checkpoints.js";
import { bestOf, isEvaluationDue, stopsEarly } from "./evaluations.js";
import { Evaluator } from "./evaluator.js";
import type { RunFacts } from "./files.js";
import type { MicroBatchBuffer } from "./micro-batch-buffer.js";
import { fillBuffer } from "./micro-batch-stream.js";
import { Patience } from "./patience.js";
import { enoughEpochs, prepareRun } from "./prepare.js";
import { findingsOf, readyOf, type Findings, type Ready } from "./ready.js";
import type { CheckpointSource } from "./resume.js";
import type { Doing } from "./run-record.js";
import { specRecipe } from "./spec.js";
import type { Runtime } from "./start.js";
import { loadTokenizerFiles } from "./tokenizer-files.js";
import type { MicroBatchResult } from "./training.js";

/** Bytes of a result's safetensors file besides its values, at most about those of the adapter's. */
const RESULT_HEADER_BYTES = 1 << 20;
/** How long the end of a run waits for the store to take its folder back. */
const RELEASE_MS = 2_000;
/** How long a coordinator that stops waits for a run's last save. */
const SAVE_MS = 3_000;

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
  /** Undefined: the run was recorded earlier, and its recipe is checked when it is prepared. */
  recipe: CheckedRecipe | undefined;
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
  async prepare(runtimes: Runtime[]): Promise<Findings> {
    const { run, recipe = specRecipe(this.#spec), services, onDoing } = this.#options;
    const { signal } = this.#over;
    const prepared = await prepareRun({
      ...{ runId: this.#runId, spec: this.#spec, recipe, services, signal, runtimes },
      patience: this.#patience,
      before: run.startedAt && { rows: run.rows, resumedFrom: run.resumedFrom },
      report: (preparing) => onDoing({ preparing }),
    });
    const tokenizerFiles = await loadTokenizerFiles(prepared.dataset.tokenizer, this.#source);
    // It may have been cancelled while the last answer was under way.
    signal.throwIfAborted();
    const { resumed } = prepared;
    const checkpoints = new Checkpoints(
      { ...this.#options, patience: this.#patience, signal },
      resumed?.steps.length ?? 0,
    );
    if (resumed) this.#runtime = resumed.runtime;
    this.#ready = readyOf(prepared, tokenizerFiles, checkpoints, run.startedAt ?? new Date());
    this.#stepBegan = performance.now();
    return findingsOf(this.#ready, run);
  }

  /** Streams the micro-batches of all steps. Errors: those of fillBuffer. */
  async stream(onMicroBatch: (lastOfEpoch: boolean) => void): Promise<void> {
    const { prepared, buffer, cursor } = this.#need();
    const { dataset, datasetHash, recipe, totalSteps: lastStep } = prepared;
    const reading = { dataset, datasetHash, epochs: enoughEpochs(recipe), cursor, lastStep };
    await fillBuffer(reading, buffer, this.#source, onMicroBatch);
  }

  /** Streams the held-out micro-batches, for the adapter as it is. Errors: those of fillBuffer. */
  async evaluate(onMicroBatch: (last: boolean) => void): Promise<void> {
    const ready = this.#need();
    const { evalDataset: dataset, evalDatasetHash: datasetHash } = ready.prepared;
    if (!dataset) throw new Error("an evaluation needs held-out data");
    const evaluator = new Evaluator(ready.training.version);
    ready.evaluator = evaluator;
    const reading = { dataset, datasetHash, epochs: 1, cursor: undefined, lastStep: evaluator.step };
    await fillBuffer(reading, evaluator.buffer, this.#source, onMicroBatch);
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
  taskMessage(task: TaskState, { runtime }: TrainerConnection): Omit<MicroBatchTask, "traceparent"> {
    const { prepared, training } = this.#need();
    const { recipe } = prepared;
    // Where there are none to leave out, both share a session (I9).
    const modelDropout = recipe.modelDropout && prepared.source.model.dropouts.length > 0;
    const { rows, rowLength, ids, lengths, targetMask } = this.#bufferOf(task).get(task.step, task.microBatch);
    this.#runtime = runtime;
    return {
      taskId: task.taskId,
      runId: task.runId,
      step: task.step,
      microBatch: task.microBatch,
      adapterVersion: task.evaluation ? task.step : task.step - 1,
      base: prepared.base,
      recipe: { ...recipe, modelDropout },
      // These an older trainer reads instead.
      ...{ loraR: recipe.lora.r, loraDropout: recipe.lora.dropout, useDora: recipe.lora.useDora, modelDropout },
      ...{ seed: recipe.seed, gradientCheckpointing: recipe.gradientCheckpointing, dtype: recipe.dtype },
      loraScaling: loraScaling(recipe.lora),
      rows,
      rowLength,
      ids,
      lengths,
      targetMask,
      evaluate: task.evaluation,
      lossScale: training.lossScale,
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

  /** Bytes of gradients that a task's result may have. */
  resultLimit({ evaluation }: TaskState): number {
    return evaluation ? 0 : (this.#ready?.training.adapterFile().byteLength ?? 0) + RESULT_HEADER_BYTES;
  }

  /** Reads the result of a task. Errors: `invalid_argument` when it is not what the task asked for. */
  readResult(task: TaskState, { lossSum, targetTokens }: ResultHeader, gradients: Uint8Array): MicroBatchResult {
    const { training } = this.#need();
    const expected = this.#bufferOf(task).get(task.step, task.microBatch).targetTokens;
    try {
      if (targetTokens !== expected) throw new Error(`it counts ${targetTokens} targets instead of ${expected}`);
      return { lossSum, targetTokens, gradients: task.evaluation ? new Map() : training.readGradients(gradients) };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new GradpoolError("invalid_argument", `the result of task ${task.taskId} cannot be used: ${reason}`, {
        cause,
      });
    }
  }

  /** Takes the result of a task that the core accepted. */
  accept({ step, microBatch, evaluation }: TaskState, result: MicroBatchResult): void {
    const { training, buffer, evaluator } = this.#need();
    if (evaluation) return evaluator?.accept(microBatch, result);
    training.accept(microBatch, result);
    buffer.done(step, microBatch);
  }

  /** Makes the step that is complete; whether an evaluation is due then. Errors: as Training.applyStep. */
  applyStep(): { step: StepMetrics; evaluate: boolean } {
    const ready = this.#need();
    const { recipe, totalSteps, evalDataset } = ready.prepared;
    const { epoch, cursorAfter, lastOfEpoch } = ready.buffer.takeStep();
    if (!cursorAfter) throw new Error("the data stream sent no micro-batch with a cursor");
    const now = performance.now();
    const metrics = ready.training.applyStep(epoch, (now - this.#stepBegan) / 1000);
    this.#stepBegan = now;
    ready.steps.push(metrics);
    ready.cursor = cursorAfter;
    ready.evaluationPending =
      evalDataset !== undefined && isEvaluationDue(metrics.step, totalSteps, lastOfEpoch, recipe);
    return { step: metrics, evaluate: ready.evaluationPending };
  }

  /** Takes in the evaluation that is complete; whether it is the last. Errors: as Evaluator.finish. */
  applyEvaluation(): { evaluation: Evaluation; stop: boolean } {
    const ready = this.#need();
    const { prepared, training, evaluations, steps } = ready;
    const evaluation = ready.evaluator?.finish(steps.at(-1)?.epoch ?? 0);
    if (!evaluation) throw new Error("there is no evaluation");
    evaluations.push(evaluation);
    Object.assign(ready, { evaluator: undefined, evaluationPending: false });
    const { step } = evaluation;
    if (prepared.recipe.loadBestModelAtEnd && bestOf(evaluations)?.step === step) {
      ready.best = keptAdapter(step, training.adapter);
    }
    this.#stepBegan = performance.now();
    return { evaluation, stop: stopsEarly(evaluations, prepared.recipe) };
  }

  /** Starts to save what is due after the last step, once the save before it is done. */
  async saveIfDue(): Promise<void> {
    const { training, prepared, checkpoints, cursor, evaluations, best } = this.#need();
    if (!cursor) throw new Error("no step was made yet");
    const { version } = training;
    const { saveEvery } = prepared.recipe;
    const isLast = version === prepared.totalSteps || stopsEarly(evaluations, prepared.recipe);
    const isDue = isLast || best?.step === version || (saveEvery > 0 && version % saveEvery === 0);
    await checkpoints.afterStep(isDue, this.#facts(), training, cursor);
  }

  /** Writes the result. */
  async finish(): Promise<void> {
    const { prepared, training, checkpoints, startedAt, steps, evaluations, cursor } = this.#need();
    if (!cursor) throw new Error("no step was made yet");
    const startMs = firstStepMs(startedAt, prepared.resumedFrom, steps, evaluations);
    const charts = await drawCharts({ steps, evaluations, title: this.#spec.modelId, startMs }, this.#over.signal);
    await checkpoints.finish(this.#facts(), training, cursor, charts);
  }

  /** Stops all work and gives the output folder back. */
  async end(): Promise<void> {
    await this.#stop();
    const claim = { outputDir: absoluteOutputDir(this.#spec.outputDir), runId: this.#runId };
    const signal = AbortSignal.timeout(RELEASE_MS);
    const give = () => this.#options.services.checkpointStore.release(claim, { signal });
    // A store that stopped has given its claims back by itself.
    await new Patience(() => {}).through("checkpoint-store", give, signal).catch(() => {});
  }

  /** Stops all work of a run that goes on when the coordinator starts again: it keeps its folder, and saves what it has. */
  async leave(): Promise<void> {
    const late = new AbortController();
    const saved = async () => {
      // What is being saved is of an earlier step.
      await this.#ready?.checkpoints.settled();
      this.rest();
      await this.#ready?.checkpoints.settled();
    };
    await Promise.race([saved(), delay(SAVE_MS, undefined, { signal: late.signal }).catch(() => {})]);
    late.abort();
    await this.#stop();
  }

  async #stop(): Promise<void> {
    this.#over.abort();
    const saving = this.#ready?.checkpoints.settled();
    this.#ready = undefined;
    await saving;
  }

  #facts(): RunFacts {
    const { prepared, tokenizerFiles, steps, evaluations, evaluationPending, best } = this.#need();
    const sofar = { steps: [...steps], evaluations: [...evaluations], evaluationPending, best };
    return { runId: this.#runId, spec: this.#spec, prepared, ...sofar, tokenizerFiles, runtime: this.#runtime };
  }

  /** What its service calls need. */
  get #source(): CheckpointSource {
    return { services: this.#options.services, patience: this.#patience, signal: this.#over.signal };
  }

  #bufferOf({ evaluation }: TaskState): MicroBatchBuffer {
    const { buffer, evaluator } = this.#need();
    if (!evaluation) return buffer;
    if (!evaluator) throw new Error("there is no evaluation");
    return evaluator.buffer;
  }

  #need(): Ready {
    if (!this.#ready) throw new GradpoolError("cancelled", `run ${this.#runId} is over`);
    return this.#ready;
  }
}
