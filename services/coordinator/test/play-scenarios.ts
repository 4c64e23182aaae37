/** Plays seeds on all cores. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { after, it } from "node:test";
import { Worker } from "node:worker_threads";
import type { Seeds } from "./simulation-worker.js";

/** A test for each scenario. GRADPOOL_SIM_SEED plays one seed alone, GRADPOOL_SIM_SEEDS this many. */
export function playScenarios(scenarios: readonly string[], usualSeeds: number): void {
  const { GRADPOOL_SIM_SEED: one, GRADPOOL_SIM_SEEDS: count = String(usualSeeds) } = process.env;
  const all = one ? [Number(one)] : Array.from({ length: Number(count) }, (_, i) => i + 1);
  const workers = Array.from(
    { length: Math.min(all.length, availableParallelism()) },
    () => new Worker(new URL("./simulation-worker.js", import.meta.url)),
  );
  const ends = workers.map((worker) =>
    once(worker, "exit").then(([code]) => [`the thread ended with ${String(code)}`] as [string]),
  );
  after(() => Promise.all(workers.map((worker) => worker.terminate())));

  for (const scenario of scenarios) {
    it(scenario, async () => {
      const failures = workers.map(async (worker, place) => {
        const seeds = all.filter((_, i) => i % workers.length === place);
        worker.postMessage({ scenario, seeds } satisfies Seeds);
        const [failure] = (await Promise.race([once(worker, "message"), ends[place]])) as [string];
        return failure;
      });
      assert.deepEqual((await Promise.all(failures)).filter(Boolean), []);
    });
  }
}
