/** Runs that end the coordinator: each is told from the others, and fails. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_LIVES } from "../src/core/runs.js";
import { emptyPool, type PoolState } from "../src/core/state.js";
import { transition, type Transition } from "../src/core/transition.js";

/** A life of the coordinator, up to where it prepares what it can. */
function begin(lives: ReadonlyMap<string, number>): Transition {
  let last: Transition = { state: emptyPool(), facts: [], effects: [] };
  const effects: Transition["effects"] = [];
  for (const [runId, before] of lives) {
    last = transition(last.state, { type: "run-submitted", runId, lives: before });
    effects.push(...last.effects);
  }
  return { ...last, effects };
}

const prepared = ({ effects }: Pick<Transition, "effects">) =>
  effects.flatMap((effect) => (effect.type === "prepare" ? [effect.runId] : []));

/** The run is prepared, and its first step made. */
function makeStep(state: PoolState, runId: string): Transition {
  const done = { totalSteps: 2, stepsDone: 0, deviceClass: undefined };
  let next = transition(state, { type: "run-prepared", runId, ...done, evaluate: false, stopped: false });
  next = transition(next.state, { type: "micro-batch-arrived", runId, lastOfStep: true });
  next = transition(next.state, { type: "trainer-joined", trainerId: "t", deviceClass: "cpu" });
  next = transition(next.state, { type: "trainer-pulled", trainerId: "t", tasks: 1 });
  const { taskId } = next.state.tasks[0]!;
  const result = { lossSum: 1, targetTokens: 1, gradients: new Map(), computeMs: 1, waitMs: 1, fetchMs: 1 };
  next = transition(next.state, { type: "result-arrived", taskId, result });
  return transition(next.state, { type: "step-applied", runId, evaluate: false });
}

describe("a run that ends the coordinator", () => {
  it("fails after five lives, and costs no other run more than a wait", () => {
    const lives = new Map([
      ["good-1", 0],
      ["bad", 0],
      ["good-2", 0],
    ]);
    let failed: string | undefined;
    for (let life = 1; life <= 20 && failed === undefined; life++) {
      let next = begin(lives);
      const open = [...prepared(next)];
      failed = next.effects.flatMap((effect) => (effect.type === "end-run" ? [effect.message ?? ""] : []))[0];
      for (const runId of open) lives.set(runId, (lives.get(runId) ?? 0) + 1);
      // Two together end before any has made a step, as the bad one does alone; the good one makes its step.
      while (open.length === 1 && open[0] !== "bad") {
        const [runId = ""] = open.splice(0);
        next = makeStep(next.state, runId);
        lives.set(runId, 0);
        open.push(...prepared(next));
        for (const other of open) lives.set(other, (lives.get(other) ?? 0) + 1);
      }
    }
    assert.match(failed ?? "", /the coordinator ended 5 times while it prepared this run/);
    assert.equal(lives.get("bad"), MAX_LIVES);
    assert.ok((lives.get("good-1") ?? 9) < MAX_LIVES && (lives.get("good-2") ?? 9) < MAX_LIVES);
  });

  it("is not one that ends in order", () => {
    const { facts } = transition(begin(new Map([["a", 1]])).state, { type: "pool-stopping" });
    assert.ok(facts.some(({ type }) => type === "pool-stopping"));
  });
});
