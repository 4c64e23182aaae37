/** The core in a world that goes wrong, by seed: a failing seed is named, and fails again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { expectedAdapter, type SimulatedRun } from "./simulated-run.js";
import { Simulation, type SimulationOptions } from "./simulation.js";

const SEEDS = Array.from({ length: 300 }, (_, i) => i + 1);

/** Some runs of some shapes, from the seed's digits. */
function runsOf(seed: number, count: number): SimulatedRun[] {
  return Array.from({ length: count }, (_, i) => ({
    runId: `run-${i}`,
    gradientAccumulation: 1 + ((seed + 3 * i) % 5),
    epochs: 1 + ((seed + i) % 2),
    microBatchesPerEpoch: 1 + ((7 * seed + 5 * i) % 11),
  }));
}

function check(options: SimulationOptions): void {
  const cancelled = new Set(options.cancelled);
  const ends = new Simulation(options).play();
  for (const run of options.runs) {
    const { outcome, adapter } = ends.get(run.runId) ?? {};
    if (cancelled.has(run.runId) && outcome === "cancelled") continue;
    assert.equal(outcome, "completed", `${run.runId} of seed ${options.seed}`);
    assert.equal(adapter, expectedAdapter(run), `${run.runId} of seed ${options.seed} has another adapter (I2)`);
  }
}

function forEachSeed(options: (seed: number) => Omit<SimulationOptions, "seed">): void {
  for (const seed of SEEDS) {
    try {
      check({ seed, ...options(seed) });
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }
}

describe("the core, simulated", () => {
  it("gives each run what it gives alone, when nothing goes wrong (I1, I2, I8)", () => {
    forEachSeed((seed) => ({ runs: runsOf(seed, 3), trainers: 1 + (seed % 4), deaths: 0, losses: 0 }));
  });

  it("takes each micro-batch once, in order, whatever is lost, late or doubled (I1, I3)", () => {
    forEachSeed((seed) => ({ runs: runsOf(seed, 1 + (seed % 3)), trainers: 1 + (seed % 3), deaths: 0, losses: 0.2 }));
  });

  it("ends all runs with the same adapters while trainers die and come back (I2, I3)", () => {
    forEachSeed((seed) => ({ runs: runsOf(seed, 1 + (seed % 4)), trainers: 1 + (seed % 4), deaths: 0.1, losses: 0.1 }));
  });

  it("keeps runs to one class of devices, and lets no class starve (I2, I8)", () => {
    forEachSeed((seed) => ({
      runs: runsOf(seed, 4),
      trainers: 2 + (seed % 3),
      deviceClasses: 2,
      deaths: 0.05,
      losses: 0.1,
    }));
  });

  it("cancels at any moment without touching the others", () => {
    forEachSeed((seed) => ({
      runs: runsOf(seed, 4),
      trainers: 2,
      deaths: 0.05,
      losses: 0.1,
      cancelled: ["run-0", "run-2"],
    }));
  });
});
