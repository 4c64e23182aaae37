/** Several coordinators in a world that goes wrong, by seed (`make sim-ha`, or one seed: `make sim-ha SEED=7`). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EventBook } from "../src/events/event-book.js";
import { RunRegistry } from "../src/record/run-registry.js";
import { withoutSurvivors } from "../src/record/store-changes.js";
import { NO_ROWS } from "../src/runs/row-counts.js";
import { playScenarios } from "./play-scenarios.js";
import { checkShared, SHARED_SCENARIOS } from "./shared-scenarios.js";
import { specNamed } from "./simulated-clients.js";
import { SimulatedStore } from "./simulated-store.js";

describe("several coordinators, simulated", () => {
  playScenarios(Object.keys(SHARED_SCENARIOS), 5);

  it("would notice a store that records what a lost coordinator writes (I4)", async () => {
    const unfenced = async () => {
      for (let seed = 1; seed <= 20; seed++) await checkShared(PAUSES, seed, { isUnfenced: true });
    };
    await assert.rejects(unfenced, /ended as .*, and then became|is lost or there twice/);
  });

  it("leaves the record of a run alone that ended just before its coordinator stops", async () => {
    const store = new SimulatedStore(() => false);
    const registry = await RunRegistry.load(store, new EventBook(store.recorded.events, false));
    const run = { ...registry.newRun(specNamed("run"), ""), livesWithoutProgress: 1 };
    await registry.commit([[{ type: "run-submitted", run }]]);
    const ended = { outcome: "cancelled" as const, code: "cancelled", message: "cancelled", at: new Date(0) };
    await registry.commit([[{ type: "run-ended", runId: run.runId, ...ended }], [{ type: "pool-stopping" }]]);
    assert.equal(store.runs.get(run.runId)?.livesWithoutProgress, 1);
  });

  it("does not count the lives of a run that only lost their lease", async () => {
    const store = new SimulatedStore(() => false);
    const registry = await RunRegistry.load(store, new EventBook(store.recorded.events, false));
    const run = { ...registry.newRun(specNamed("run"), ""), livesWithoutProgress: 3, begunInLives: [4, 6] };
    const { runId } = run;
    await registry.commit([[{ type: "run-submitted", run }]]);
    await registry.commit([[{ type: "run-state", runId, state: "preparing", because: "" }]]);
    const { life } = store.recorded;
    const { recorded } = registry.get(runId);
    assert.deepEqual([recorded.livesWithoutProgress, recorded.begunInLives], [4, [4, 6, life]]);
    const left = withoutSurvivors(recorded, new Set([6, 7]));
    assert.deepEqual([left.livesWithoutProgress, left.begunInLives], [3, [4, life]]);
  });

  it("reports a step once that was saved before it could be recorded (I6)", async () => {
    const store = new SimulatedStore(() => false);
    const registry = await RunRegistry.load(store, new EventBook(store.recorded.events, false));
    const run = registry.newRun(specNamed("run"), "");
    const { runId } = run;
    const step = (number: number) => ({
      step: number,
      epoch: 0,
      loss: 1,
      gradNorm: 0,
      learningRate: 0,
      tokens: 1,
      seconds: 0,
    });
    const resumed = (steps: number) => ({
      ...{ type: "run-prepared" as const, runId, found: { startedAt: new Date(0) }, evaluations: [] },
      steps: Array.from({ length: steps }, (_, i) => step(i + 1)),
    });
    await registry.commit([[{ type: "run-submitted", run }]]);
    // It begins with what another run made.
    await registry.commit([[resumed(1)]]);
    await registry.commit([[{ type: "step-made", runId, step: step(2), rowCounts: NO_ROWS }]]);
    // The third was saved when the coordinator was lost.
    await registry.commit([[resumed(3)]]);
    await registry.commit([[resumed(3)]]);
    const steps = store.eventLog.flatMap(({ event: { payload } }) =>
      payload?.$case === "runStep" ? [payload.value.step] : [],
    );
    assert.deepEqual(steps, [2, 3]);
  });
});

const PAUSES = "record nothing of one that was paused past its lease (I4, I5)";
