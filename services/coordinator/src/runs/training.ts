import { checkAdapter, loraTensorNames, writeAdapter, type AdapterTensors } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { AdamW, clipGradNorm, LossScaler } from "@gradpool/optim";
import type { StepMetrics } from "@gradpool/rpc";
import type { LossScaling } from "@gradpool/run-folder";
import type { MicroBatchResult } from "../core/state.js";
import { areFinite } from "./doubts.js";
import { GradientFiles } from "./gradient-files.js";
import { rateAt } from "./learning-rate.js";
import { LossGuard } from "./loss-guard.js";
import type { PreparedRun } from "./preparation.js";

/**
 * A run's numbers: adapter, optimizer, and the sum of the current step. Results are added in
 * the order of micro-batches, whenever they arrive (I1), in float32; nothing else decides a bit (I2).
 */
export class Training {
  readonly #run: PreparedRun;
  readonly #optimizer: AdamW;
  /** What results arrive in. */
  readonly gradientFiles = new GradientFiles();
  readonly #sums = new Map<string, { data: Float32Array }>();
  /** Results that wait for an earlier one, by micro-batch. */
  readonly #early = new Map<number, MicroBatchResult>();
  #nextMicroBatch = 0;
  #lossSum = 0;
  #targetTokens = 0;
  #version = 0;
  #adapterFile: Uint8Array | undefined;
  readonly #lossGuard: LossGuard;
  /** For gradients that may have been computed in float16. */
  readonly #lossScaler: LossScaler | undefined;
  readonly #skippedSteps: number[];
  /** Learning rate of the next step, where it is not the schedule's. */
  #nextRate: number | undefined;

  constructor(run: PreparedRun) {
    this.#run = run;
    const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon: epsilon, weightDecay } = run.recipe;
    const state = run.resumed?.optimizer;
    this.#optimizer = new AdamW(run.adapter, { beta1, beta2, epsilon, weightDecay }, state);
    const scaling = run.resumed?.lossScaling;
    this.#nextRate = run.resumed?.nextLearningRate;
    this.#skippedSteps = [...(scaling?.skippedSteps ?? [])];
    this.#lossScaler = run.recipe.dtype === "float16" ? new LossScaler(scaling) : undefined;
    this.#version = (state?.step ?? 0) + this.#skippedSteps.length;
    this.#lossGuard = new LossGuard(run.source.model.description.vocabSize, run.resumed?.steps ?? []);
    for (const name of loraTensorNames(run.targets)) {
      this.#sums.set(name, { data: new Float32Array(run.adapter.get(name)?.data.length ?? 0) });
    }
  }

  /** Steps the current adapter was trained for, skipped ones counted. */
  get version(): number {
    return this.#version;
  }

  get adapter(): AdapterTensors {
    return this.#run.adapter;
  }

  get optimizerState(): AdamW["state"] {
    return this.#optimizer.state;
  }

  /** The factor by which the loss is scaled for the current step's gradients. */
  get lossScale(): number {
    return this.#lossScaler?.state.scale ?? 1;
  }

  /** How the loss is scaled, and the steps that were skipped for it; undefined where it is not. */
  get lossScaling(): LossScaling | undefined {
    return this.#lossScaler && { ...this.#lossScaler.state, skippedSteps: [...this.#skippedSteps] };
  }

  /** Learning rate of the next step; undefined: the schedule's. */
  get nextLearningRate(): number | undefined {
    return this.#nextRate;
  }

  /** adapter_model.safetensors of the current adapter. */
  adapterFile(): Uint8Array {
    this.#adapterFile ??= writeAdapter(this.#run.adapter);
    return this.#adapterFile;
  }

  /** Reads a result's gradients. Errors: `data_loss` and `failed_precondition` when they are not this adapter's. */
  readGradients(file: Uint8Array): AdapterTensors {
    const { targets, recipe } = this.#run;
    return this.gradientFiles.read(file, (gradients) => checkAdapter(gradients, targets, recipe.lora.r));
  }

  accept(microBatch: number, result: MicroBatchResult): void {
    this.#early.set(microBatch, result);
    for (;;) {
      const next = this.#early.get(this.#nextMicroBatch);
      if (!next) return;
      this.#early.delete(this.#nextMicroBatch);
      this.#nextMicroBatch += 1;
      this.#add(next);
      this.gradientFiles.giveBack(next.gradients);
    }
  }

  #add({ lossSum, targetTokens, gradients }: MicroBatchResult): void {
    // A mean over no targets is undefined; their sum is zero.
    if (targetTokens === 0) return;
    this.#lossSum += lossSum;
    this.#targetTokens += targetTokens;
    for (const [name, { data: sum }] of this.#sums) {
      const gradient = gradients.get(name)?.data as Float32Array;
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number);
    }
  }

  /**
   * Makes the step: mean gradient over its target tokens, of which there is at least one (see target-groups.ts), clipped,
   * then AdamW. Where the loss is scaled, a step whose gradients are not finite is skipped: adapter and optimizer stay as
   * they are, and its gradient norm and learning rate are reported as 0. Errors: `failed_precondition` when loss, gradient or
   * adapter is not finite, or the loss has exploded.
   */
  applyStep(epoch: number, seconds: number): StepMetrics {
    const { recipe } = this.#run;
    const tokens = this.#targetTokens;
    const step = this.#version + 1;
    if (tokens === 0) throw new Error(`step ${step} has no target`);
    const divisor = tokens * this.lossScale;
    for (const { data } of this.#sums.values()) {
      for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) / divisor;
    }
    const loss = this.#lossSum / tokens;
    const gradNorm = clipGradNorm(this.#sums, recipe.maxGradNorm);
    const finite = Number.isFinite(gradNorm);
    if (Number.isFinite(loss) && !finite && this.lossScale > 1) {
      this.#lossGuard.check(step, loss);
      return this.#skip({ step, epoch, loss, gradNorm: 0, learningRate: 0, tokens, seconds });
    }
    if (!Number.isFinite(loss) || !finite) {
      const what = Number.isFinite(loss) ? `gradient norm is ${gradNorm}` : `loss is ${loss}`;
      throw diverged(step, `${what}; lower learning_rate, or set max_grad_norm`);
    }
    this.#lossGuard.check(step, loss);
    const rate = this.#rate();
    this.#optimizer.step(this.#sums, rate);
    if (!areFinite(this.adapter)) {
      throw diverged(step, "the adapter became infinite; lower learning_rate");
    }
    this.#nextRate = undefined;
    this.#lossScaler?.update(true);
    this.#beginStep(step);
    return { step, epoch, loss, gradNorm, learningRate: rate, tokens, seconds };
  }

  #skip(metrics: StepMetrics): StepMetrics {
    this.#lossScaler?.update(false);
    this.#skippedSteps.push(metrics.step);
    this.#beginStep(metrics.step);
    return metrics;
  }

  /** As in transformers' Trainer, a skipped step does not move the schedule. */
  #rate(): number {
    const { recipe, totalSteps } = this.#run;
    return this.#nextRate ?? rateAt(recipe, this.optimizerState.step, totalSteps);
  }

  #beginStep(version: number): void {
    this.#version = version;
    this.#adapterFile = undefined;
    this.#nextMicroBatch = 0;
    this.#lossSum = 0;
    this.#targetTokens = 0;
    for (const { data } of this.#sums.values()) data.fill(0);
  }
}

const diverged = (step: number, what: string) => new GradpoolError("failed_precondition", `step ${step}: ${what}`);
