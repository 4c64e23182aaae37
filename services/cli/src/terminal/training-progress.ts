import type { StepMetrics } from "@gradpool/rpc";
import { count, duration } from "./format.js";

/** Speed is that of so many steps at the end. */
const WINDOW_STEPS = 20;

/** The line that follows a run: step, loss, tokens per second, remaining time. */
export class TrainingProgress {
  readonly #window: StepMetrics[] = [];

  add(step: StepMetrics): void {
    this.#window.push(step);
    if (this.#window.length > WINDOW_STEPS) this.#window.shift();
  }

  /** Target tokens per second. */
  get tokensPerSecond(): number {
    const tokens = this.#window.reduce((sum, step) => sum + step.tokens, 0);
    return tokens / Math.max(1e-9, this.#seconds);
  }

  line(totalSteps: number): string {
    const last = this.#window.at(-1);
    if (!last) return "";
    const left = Math.max(0, totalSteps - last.step);
    const remaining = (left * this.#seconds) / this.#window.length;
    const share = totalSteps > 0 ? ` (${Math.floor((100 * last.step) / totalSteps)} %)` : "";
    return [
      `step ${count(last.step)}/${count(totalSteps)}${share}`,
      `loss ${last.loss.toFixed(4)}`,
      `lr ${Number(last.learningRate.toPrecision(3)).toExponential()}`,
      `${count(Math.round(this.tokensPerSecond))} tokens/s`,
      `${duration(remaining)} left`,
    ].join("  ");
  }

  get #seconds(): number {
    return this.#window.reduce((sum, step) => sum + step.seconds, 0);
  }
}
