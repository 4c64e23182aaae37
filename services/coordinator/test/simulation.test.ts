/**
 * The driver and the core in a world that goes wrong, by seed: a failing seed is named, and fails again (`make sim SEED=7`,
 * `make sim-long`).
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { playScenarios } from "./play-scenarios.js";
import { check, runsOf, SCENARIOS } from "./scenarios.js";

describe("the coordinator, simulated", () => {
  playScenarios(Object.keys(SCENARIOS), 200);

  it("would notice effects that do not wait until they are recorded (I4)", async () => {
    const hasty = check({ seed: 1, runs: runsOf(1, 2), trainers: 2, hasty: true });
    await assert.rejects(hasty, /before the run was recorded|before that was recorded/);
  });
});
