/**
 * The core in a world that goes wrong, by seed: a failing seed is named, and fails again.
 * GRADPOOL_SIM_SEED plays one seed alone (`make sim SEED=7`), GRADPOOL_SIM_SEEDS so many (`make sim-long`).
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { expectedEnd, type SimulatedRun } from "./simulated-run.js";
import { Simulation, type SimulationOptions } from "./simulation.js";

const { GRADPOOL_SIM_SEED: one, GRADPOOL_SIM_SEEDS: count = "200" } = process.env;
const SEEDS = one ? [Number(one)] : Array.from({ length: Number(count) }, (_, i) => i + 1);

/** Some runs of some shapes, from the seed's digits. */
function runsOf(seed: number, number: number): SimulatedRun[] {
  return Array.from({ length: number }, (_, i) => ({
    runId: `run-${i}`,
    gradientAccumulation: 1 + ((seed + 3 * i) % 5),
    epochs: 1 + ((seed + i) % 2),
    microBatchesPerEpoch: 1 + ((7 * seed + 5 * i) % 11),
    evaluateEvery: (seed + 2 * i) % 4,
    heldOut: 1 + ((3 * seed + i) % 6),
  }));
}

function check(options: SimulationOptions): void {
  const cancelled = new Set(options.cancelled);
  const ends = new Simulation(options).play();
  for (const run of options.runs) {
    const { outcome, adapter, evaluations } = ends.get(run.runId) ?? {};
    if (cancelled.has(run.runId) && outcome === "cancelled") continue;
    assert.equal(outcome, "completed", `${run.runId} of seed ${options.seed}`);
    const expected = expectedEnd(run);
    assert.equal(adapter, expected.adapter, `${run.runId} of seed ${options.seed} has another adapter (I2)`);
    assert.deepEqual(evaluations, expected.evaluations, `${run.runId} of seed ${options.seed}: its evaluations (I2)`);
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
    forEachSeed((seed) => ({ runs: runsOf(seed, 3), trainers: 1 + (seed % 4) }));
  });

  it("takes each micro-batch once, in order, whatever is lost, late or doubled (I1, I3)", () => {
    forEachSeed((seed) => ({ runs: runsOf(seed, 1 + (seed % 3)), trainers: 1 + (seed % 3), losses: 0.2 }));
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

  it("gives a slow trainer's work to another, and takes the first answer (I3)", () => {
    forEachSeed((seed) => ({ runs: runsOf(seed, 2), trainers: 2 + (seed % 3), stalls: 0.1, losses: 0.05 }));
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

  it("goes on after a crash between any two writes as if there had been none (I1, I2, I4)", () => {
    forEachSeed((seed) => ({ runs: runsOf(seed, 1 + (seed % 3)), trainers: 1 + (seed % 3), crashes: 0.01 }));
  });

  it("pauses and resumes at any moment, through crashes and full disks, without a trace (I2, I4)", () => {
    forEachSeed((seed) => ({
      runs: runsOf(seed, 3),
      trainers: 1 + (seed % 3),
      crashes: 0.005,
      troubles: 0.1,
      paused: ["run-0", "run-1"],
      cancelled: seed % 2 === 0 ? ["run-1"] : [],
    }));
  });

  it("survives all of it at once", () => {
    forEachSeed((seed) => ({
      runs: runsOf(seed, 1 + (seed % 5)),
      trainers: 2 + (seed % 4),
      deviceClasses: 1 + (seed % 2),
      deaths: 0.05,
      losses: 0.1,
      stalls: 0.03,
      crashes: 0.005,
      troubles: 0.05,
      paused: ["run-0"],
      cancelled: seed % 3 === 0 ? ["run-2"] : [],
    }));
  });
});
