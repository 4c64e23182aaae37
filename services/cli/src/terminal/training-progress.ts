import { count, duration } from "@gradpool/format";
import type { StepMetrics } from "@gradpool/rpc";

/** Speed is measured over this many of the last steps. */
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

  /** At the speed of the last steps; 0 before the first. */
  secondsLeft(totalSteps: number): number {
    const stepsLeft = Math.max(0, totalSteps - (this.#window.at(-1)?.step ?? totalSteps));
    return stepsLeft === 0 ? 0 : (stepsLeft * this.#seconds) / this.#window.length;
  }

  line(totalSteps: number): string {
    const last = this.#window.at(-1);
    if (!last) return "";
    const share = totalSteps > 0 ? ` (${Math.floor((100 * last.step) / totalSteps)} %)` : "";
    return [
      `step ${count(last.step)}/${count(totalSteps)}${share}`,
      `loss ${last.loss.toFixed(4)}`,
      `lr ${Number(last.learningRate.toPrecision(3)).toExponential()}`,
      `${count(Math.round(this.tokensPerSecond))} tokens/s`,
      `${duration(this.secondsLeft(totalSteps))} left`,
    ].join("  ");
  }

  get #seconds(): number {
    return this.#window.reduce((sum, step) => sum + step.seconds, 0);
  }
}
