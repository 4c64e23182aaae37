import { isResting } from "../core/lookup.js";
import type { PoolState, TaskState } from "../core/state.js";

/** Since when each micro-batch of a run's present group waits for a trainer. */
interface Group {
  step: number;
  evaluating: boolean;
  /** By index of micro-batch. */
  readyMs: number[];
}

/** How long micro-batches wait for a trainer, seen from outside of the core. */
export class QueueWaits {
  readonly #groups = new Map<string, Group>();

  /** Takes in what an event left behind. While a run rests, its micro-batches do not wait for trainers. */
  see({ runs }: PoolState, nowMs: number): void {
    for (const run of runs) {
      const { runId, step, evaluating } = run;
      let group = this.#groups.get(runId);
      if (group?.step !== step || group.evaluating !== evaluating) {
        group = { step, evaluating, readyMs: [] };
        this.#groups.set(runId, group);
      }
      while (group.readyMs.length < run.group.length) group.readyMs.push(nowMs);
      if (isResting(run)) group.readyMs.fill(nowMs);
    }
    if (this.#groups.size === runs.length) return;
    const known = new Set(runs.map(({ runId }) => runId));
    for (const runId of this.#groups.keys()) if (!known.has(runId)) this.#groups.delete(runId);
  }

  /** Of a task that was handed out now, in milliseconds. */
  waited({ runId, microBatch }: TaskState, nowMs: number): number {
    return nowMs - (this.#groups.get(runId)?.readyMs[microBatch] ?? nowMs);
  }
}
