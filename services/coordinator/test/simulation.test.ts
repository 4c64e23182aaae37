/**
 * The driver and the core in a world that goes wrong, by seed: a failing seed is named, and fails again.
 * GRADPOOL_SIM_SEED plays one seed alone (`make sim SEED=7`), GRADPOOL_SIM_SEEDS this many (`make sim-long`).
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { after, describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { check, runsOf, SCENARIOS } from "./scenarios.js";
import type { Seeds } from "./simulation-worker.js";

const { GRADPOOL_SIM_SEED: one, GRADPOOL_SIM_SEEDS: count = "200" } = process.env;
const SEEDS = one ? [Number(one)] : Array.from({ length: Number(count) }, (_, i) => i + 1);

describe("the coordinator, simulated", () => {
  const workers = Array.from(
    { length: Math.min(SEEDS.length, availableParallelism()) },
    () => new Worker(new URL("./simulation-worker.js", import.meta.url)),
  );
  const ends = workers.map((worker) =>
    once(worker, "exit").then(([code]) => [`the thread ended with ${String(code)}`] as [string]),
  );
  after(() => Promise.all(workers.map((worker) => worker.terminate())));

  for (const scenario of Object.keys(SCENARIOS)) {
    it(scenario, async () => {
      const failures = workers.map(async (worker, place) => {
        const seeds = SEEDS.filter((_, i) => i % workers.length === place);
        worker.postMessage({ scenario, seeds } satisfies Seeds);
        const [failure] = (await Promise.race([once(worker, "message"), ends[place]])) as [string];
        return failure;
      });
      assert.deepEqual((await Promise.all(failures)).filter(Boolean), []);
    });
  }

  it("would notice effects that do not wait until they are recorded (I4)", async () => {
    const hasty = check({ seed: 1, runs: runsOf(1, 2), trainers: 2, hasty: true });
    await assert.rejects(hasty, /before the run was recorded|before that was recorded/);
  });
});
