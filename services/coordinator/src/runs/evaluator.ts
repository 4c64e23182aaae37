import { GradpoolError } from "@gradpool/errors";
import type { Evaluation } from "@gradpool/rpc";
import { MicroBatchBuffer } from "./micro-batch-buffer.js";

/** The result of a held-out micro-batch. */
export interface HeldOutResult {
  /** Sum of the targets' negative log likelihoods, in nats. */
  lossSum: number;
  targetTokens: number;
}

/**
 * One evaluation of the adapter after `step` steps: its micro-batches, and their results. They are added in the
 * order of micro-batches, whenever they arrive (I2).
 */
export class Evaluator {
  readonly step: number;
  /** The whole data set as one step, which its last micro-batch ends. */
  readonly buffer: MicroBatchBuffer;
  readonly #results: HeldOutResult[] = [];
  readonly #beganAt = performance.now();

  constructor(step: number) {
    this.step = step;
    this.buffer = new MicroBatchBuffer(step - 1);
  }

  accept(microBatch: number, { lossSum, targetTokens }: HeldOutResult): void {
    this.#results[microBatch] = { lossSum, targetTokens };
    this.buffer.done(this.step, microBatch);
  }

  /** All results are in. Errors: `failed_precondition` when the loss is not finite, or there was nothing to predict. */
  finish(epoch: number): Evaluation {
    let [lossSum, tokens] = [0, 0];
    for (const result of this.#results) {
      if (result.targetTokens === 0) continue;
      lossSum += result.lossSum;
      tokens += result.targetTokens;
    }
    const loss = lossSum / tokens;
    if (tokens === 0) throw failed("eval_dataset has no tokens to predict; a row needs at least two tokens");
    if (!Number.isFinite(loss)) throw failed(`step ${this.step}: the evaluation loss is ${loss}; lower learning_rate`);
    const seconds = (performance.now() - this.#beganAt) / 1000;
    return { step: this.step, epoch, loss, perplexity: Math.exp(loss), tokens, seconds };
  }
}

const failed = (message: string) => new GradpoolError("failed_precondition", message);
