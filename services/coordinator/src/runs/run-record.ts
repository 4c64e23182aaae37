import { GradpoolError } from "@gradpool/errors";
import {
  MessageQueue,
  RunState,
  type CheckpointUpdate,
  type Run,
  type StepMetrics,
  type WatchRunResponse,
} from "@gradpool/rpc";

/** Updates that a watcher may be behind before it is cut off. */
const MAX_BEHIND = 10_000;

const ENDED: ReadonlySet<RunState> = new Set([
  RunState.RUN_STATE_COMPLETED,
  RunState.RUN_STATE_FAILED,
  RunState.RUN_STATE_CANCELLED,
]);

/** What is remembered of a run, during and after it, and who watches it. */
export class RunRecord {
  #run: Run;
  readonly steps: StepMetrics[] = [];
  readonly #checkpoints: CheckpointUpdate[] = [];
  readonly #watchers = new Set<MessageQueue<WatchRunResponse>>();

  constructor(run: Run) {
    this.#run = run;
  }

  get run(): Run {
    return this.#run;
  }

  get hasEnded(): boolean {
    return ENDED.has(this.#run.state);
  }

  update(changes: Partial<Run>): void {
    this.#run = { ...this.#run, ...changes };
    this.#tell({ update: { $case: "run", value: this.#run } });
    if (this.hasEnded) for (const watcher of this.#watchers) watcher.end();
  }

  addStep(step: StepMetrics): void {
    this.steps.push(step);
    this.#run = { ...this.#run, step: step.step, lastStep: step, tokens: this.#run.tokens + step.tokens };
    this.#tell({ update: { $case: "step", value: step } });
  }

  addCheckpoint(checkpoint: CheckpointUpdate): void {
    this.#checkpoints.push(checkpoint);
    this.#tell({ update: { $case: "checkpoint", value: checkpoint } });
  }

  /** The run, its checkpoints and its steps behind `afterStep`, then what happens, until it ends. */
  async *watch(afterStep: number, signal: AbortSignal): AsyncGenerator<WatchRunResponse> {
    const queue = new MessageQueue<WatchRunResponse>();
    queue.push({ update: { $case: "run", value: this.#run } });
    for (const checkpoint of this.#checkpoints) queue.push({ update: { $case: "checkpoint", value: checkpoint } });
    for (const step of this.steps) {
      if (step.step > afterStep) queue.push({ update: { $case: "step", value: step } });
    }
    if (this.hasEnded) queue.end();
    else this.#watchers.add(queue);
    const stop = () => queue.end();
    signal.addEventListener("abort", stop, { once: true });
    try {
      yield* queue;
      if (!this.hasEnded && !signal.aborted) {
        throw new GradpoolError(
          "resource_exhausted",
          "the watcher fell too far behind; watch again after the last step seen",
        );
      }
    } finally {
      signal.removeEventListener("abort", stop);
      this.#watchers.delete(queue);
    }
  }

  #tell(update: WatchRunResponse): void {
    for (const watcher of this.#watchers) {
      watcher.push(update);
      if (watcher.length <= MAX_BEHIND) continue;
      this.#watchers.delete(watcher);
      watcher.end();
    }
  }
}
