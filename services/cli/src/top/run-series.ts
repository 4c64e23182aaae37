/** What a view remembers of a run's steps: bounded, however many there are. */
import type { CheckpointUpdate, Evaluation, RunSpec, StepMetrics } from "@gradpool/rpc";
import type { RunUpdate } from "../runs/pool.js";
import { TrainingProgress } from "../terminal/training-progress.js";

/** Points of a curve; twice the dots of a wide terminal. */
const MAX_POINTS = 1024;

const MAX_CHECKPOINTS = 20;

/** Means over equally many neighbours, so that the whole run stays in view. */
class Curve {
  #points: number[] = [];
  #stepsPerPoint = 1;
  #sum = 0;
  #pending = 0;

  add(value: number): void {
    this.#sum += value;
    this.#pending += 1;
    if (this.#pending < this.#stepsPerPoint) return;
    this.#points.push(this.#sum / this.#pending);
    this.#sum = this.#pending = 0;
    if (this.#points.length < MAX_POINTS) return;
    const pairs = this.#points.filter((_, i) => i % 2 === 0);
    this.#points = pairs.map((point, i) => (point + (this.#points[2 * i + 1] ?? point)) / 2);
    this.#stepsPerPoint *= 2;
  }

  /** Oldest first; the last may be the mean of fewer steps. */
  get points(): readonly number[] {
    return this.#pending > 0 ? [...this.#points, this.#sum / this.#pending] : this.#points;
  }
}

export class RunSeries {
  readonly #loss = new Curve();
  readonly #tokensPerSecond = new Curve();
  readonly #progress = new TrainingProgress();
  #checkpoints: CheckpointUpdate[] = [];
  #lastStep: StepMetrics | undefined;
  #lastEvaluation: Evaluation | undefined;
  #spec: RunSpec | undefined;

  /** After an outage steps may come again: they count once. */
  add(update: RunUpdate): void {
    if (update.$case === "step" && update.value.step > (this.#lastStep?.step ?? 0)) this.#onStep(update.value);
    if (update.$case === "evaluation") this.#lastEvaluation = update.value;
    if (update.$case === "run") this.#spec = update.value.spec;
    if (update.$case === "checkpoint") this.#onCheckpoint(update.value);
  }

  /** In full, unlike a list's. */
  get spec(): RunSpec | undefined {
    return this.#spec;
  }

  get loss(): readonly number[] {
    return this.#loss.points;
  }

  /** Target tokens per second of each step. */
  get tokensPerSecond(): readonly number[] {
    return this.#tokensPerSecond.points;
  }

  /** Over the last steps; 0 before the first. */
  get speed(): number {
    return this.#progress.tokensPerSecond;
  }

  get lastStep(): StepMetrics | undefined {
    return this.#lastStep;
  }

  get lastEvaluation(): Evaluation | undefined {
    return this.#lastEvaluation;
  }

  /** Those that exist, newest last. */
  get checkpoints(): readonly CheckpointUpdate[] {
    return this.#checkpoints;
  }

  /** At the speed of the last steps; undefined before the first. */
  secondsLeft(totalSteps: number): number | undefined {
    return this.#lastStep && totalSteps > 0 ? this.#progress.secondsLeft(totalSteps) : undefined;
  }

  #onStep(step: StepMetrics): void {
    this.#lastStep = step;
    this.#progress.add(step);
    this.#loss.add(step.loss);
    if (step.seconds > 0) this.#tokensPerSecond.add(step.tokens / step.seconds);
  }

  #onCheckpoint(checkpoint: CheckpointUpdate): void {
    const others = this.#checkpoints.filter(({ path }) => path !== checkpoint.path);
    this.#checkpoints = (checkpoint.removed ? others : [...others, checkpoint]).slice(-MAX_CHECKPOINTS);
  }
}
