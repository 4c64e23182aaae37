/** I8: while a run has work waiting, any other is given at most one place that it could have had. */
import assert from "node:assert/strict";
import { waitingIn } from "../src/core/assignment.js";
import type { PoolState, Task } from "../src/core/state.js";

export class Fairness {
  /** Of each run with waiting work: the runs that were given a place that it could have had. */
  readonly #passedOver = new Map<string, Set<string>>();

  /** A task is handed out; `state`: with it. */
  assigned({ trainerId, runId: served }: Task, state: PoolState): void {
    // Then only steps under way are finished.
    if (state.stopping) return;
    this.look(state);
    const deviceClass = state.trainers.find((trainer) => trainer.trainerId === trainerId)?.deviceClass;
    for (const [runId, others] of this.#passedOver) {
      const wanted = state.runs.find((run) => run.runId === runId)?.deviceClass;
      if (runId === served || (wanted !== undefined && wanted !== deviceClass)) continue;
      assert.ok(!others.has(served), `${served} was served twice while ${runId} waited`);
      others.add(served);
    }
    this.#passedOver.set(served, new Set());
    this.look(state);
  }

  /** Forgets the runs that have no work waiting, and notes those that now have. */
  look({ runs }: PoolState): void {
    for (const runId of this.#passedOver.keys()) {
      if (!runs.some((run) => run.runId === runId)) this.#passedOver.delete(runId);
    }
    for (const run of runs) {
      // Work that a trainer failed is for the others: a free trainer may not be given it.
      const isFree = waitingIn(run).some((i) => run.group[i]?.failedOn.length === 0);
      if (!isFree) this.#passedOver.delete(run.runId);
      else if (!this.#passedOver.has(run.runId)) this.#passedOver.set(run.runId, new Set());
    }
  }
}
