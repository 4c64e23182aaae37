import { EventEmitter, once } from "node:events";
import { RunState, type CheckpointUpdate, type Run, type StepMetrics, type WatchRunResponse } from "@gradpool/rpc";

const ENDED: ReadonlySet<RunState> = new Set([
  RunState.RUN_STATE_COMPLETED,
  RunState.RUN_STATE_FAILED,
  RunState.RUN_STATE_CANCELLED,
]);

/** What is remembered of a run, during and after it. Watchers read along in it, so none needs a queue. */
export class RunRecord {
  #run: Run;
  readonly steps: StepMetrics[] = [];
  /** Steps and checkpoints as they came. */
  readonly #history: WatchRunResponse[] = [];
  /** Changes of `update`; steps alone do not count. */
  #updates = 0;
  readonly #changes = new EventEmitter().setMaxListeners(0);

  constructor(run: Run) {
    this.#run = run;
  }

  get run(): Run {
    return this.#run;
  }

  get hasEnded(): boolean {
    return ENDED.has(this.#run.state);
  }

  /** Without effect once the run has ended. */
  update(changes: Partial<Run>): void {
    if (this.hasEnded) return;
    this.#run = { ...this.#run, ...changes };
    this.#updates += 1;
    this.#changes.emit("change");
  }

  addStep(step: StepMetrics): void {
    this.steps.push(step);
    this.#run = { ...this.#run, step: step.step, lastStep: step, tokens: this.#run.tokens + step.tokens };
    this.#history.push({ update: { $case: "step", value: step } });
    this.#changes.emit("change");
  }

  addCheckpoint(checkpoint: CheckpointUpdate): void {
    this.#history.push({ update: { $case: "checkpoint", value: checkpoint } });
    this.#changes.emit("change");
  }

  /** Waits until the run has ended. Errors: `cancelled` when `signal` aborts before. */
  async ended(signal: AbortSignal): Promise<void> {
    while (!this.hasEnded) await once(this.#changes, "change", { signal });
  }

  /**
   * The run, its checkpoints and its steps behind `afterStep`, then what happens, until it ends.
   * Whoever reads slowly misses states of the run in between, but no step and no checkpoint.
   * Errors: `cancelled` when `signal` aborts before.
   */
  async *watch(afterStep: number, signal: AbortSignal): AsyncGenerator<WatchRunResponse> {
    let updates = this.#updates;
    let place = 0;
    yield { update: { $case: "run", value: this.#run } };
    for (;;) {
      const next = this.#history[place];
      // How it ended comes last, other news of the run first.
      if (updates !== this.#updates && !(this.hasEnded && next)) {
        updates = this.#updates;
        yield { update: { $case: "run", value: this.#run } };
      } else if (next) {
        place += 1;
        if (next.update?.$case !== "step" || next.update.value.step > afterStep) yield next;
      } else if (this.hasEnded) {
        return;
      } else {
        await once(this.#changes, "change", { signal });
      }
    }
  }
}
