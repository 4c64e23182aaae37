/** Trainers that misbehave: silent with heartbeats, wrong, greedy, or not who they say they are. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RunState } from "@gradpool/rpc";
import { MAX_CREDITS, transition } from "../src/core/transition.js";
import { emptyPool, type Input, type PoolState, type TaskResult } from "../src/core/state.js";
import type { Effect } from "../src/core/effects.js";
import { World } from "./world.js";

const LEASE_MS = 10_000;
const RESULT: TaskResult = {
  ...{ lossSum: 1, targetTokens: 1, gradients: new Map(), computeMs: 1, waitMs: 1, fetchMs: 1 },
};

/** A pool in which things happen, and what it then wants done. */
class Pool {
  state: PoolState = emptyPool();
  #nowMs = 0;
  readonly effects: Effect[] = [];

  constructor(trainers: readonly string[], longestTurnMs = 60_000) {
    this.happen({ type: "run-submitted", runId: "r" });
    const steps = { totalSteps: 9, stepsDone: 0, deviceClass: undefined };
    this.happen({ type: "run-prepared", runId: "r", ...steps, evaluate: false, stopped: false, longestTurnMs });
    for (const trainerId of trainers) this.join(trainerId);
    for (let i = 0; i < 4; i++) this.happen({ type: "micro-batch-arrived", runId: "r", lastOfStep: i === 3 });
  }

  join(trainerId: string): void {
    this.happen({ type: "trainer-joined", trainerId, deviceClass: "cpu", nonce: `secret-of-${trainerId}` });
    this.happen({ type: "trainer-pulled", trainerId, tasks: 1 });
  }

  happen(input: Input): void {
    const { state, effects } = transition(this.state, { ...input, nowMs: this.#nowMs });
    this.state = state;
    this.effects.push(...effects);
  }

  /** All trainers send heartbeats meanwhile, saying that they compute their first task. */
  pass(ms: number, computing: (trainerId: string) => string = (id) => this.taskOf(id) ?? ""): void {
    for (const end = this.#nowMs + ms; this.#nowMs < end;) {
      this.#nowMs += 2_000;
      for (const { trainerId } of this.state.trainers) {
        this.happen({ type: "trainer-heard", trainerId, computing: computing(trainerId) });
      }
      this.happen({ type: "time-passed", leaseMs: LEASE_MS });
    }
  }

  taskOf = (trainerId: string) => this.state.tasks.find((task) => task.trainerId === trainerId)?.taskId;
  trainer = (trainerId: string) => this.state.trainers.find((one) => one.trainerId === trainerId)!;
  ends = () => this.effects.flatMap((effect) => (effect.type === "end-run" ? [effect.message] : []));

  /** Answers for whatever the trainer has, and pulls again. */
  answer(trainerId: string, result: Partial<TaskResult> = {}): void {
    const taskId = this.taskOf(trainerId);
    if (taskId === undefined) return;
    this.happen({ type: "result-arrived", taskId, result: { ...RESULT, ...result } });
    this.happen({ type: "trainer-pulled", trainerId, tasks: 1 });
  }
}

describe("a trainer that never answers", () => {
  it("loses its work after the bound, with the reason, and others do it", () => {
    const pool = new Pool(["stuck", "good"]);
    const stuckIn = pool.taskOf("stuck")!;
    pool.pass(58_000);
    assert.equal(pool.trainer("stuck").quarantineReason, "");
    for (let i = 0; i < 3; i++) pool.answer("good");
    pool.pass(10_000, (id) => (id === "stuck" ? stuckIn : (pool.taskOf(id) ?? "")));
    assert.match(
      pool.trainer("stuck").quarantineReason,
      /^stuck gave no result of step 1, micro-batch 0 in 6\d s; its device/,
    );
    pool.answer("good");
    assert.equal(pool.state.runs[0]?.stepping, true);
  });

  it("is given work again once it computes something else, and not before", () => {
    const pool = new Pool(["stuck"]);
    const stuckIn = pool.taskOf("stuck")!;
    pool.pass(300_000, () => stuckIn);
    assert.equal(pool.trainer("stuck").stuckIn, stuckIn);
    assert.deepEqual(pool.state.tasks, []);
    pool.pass(4_000, () => "");
    assert.equal(pool.trainer("stuck").quarantinedUntilMs, 0);
    assert.deepEqual(pool.ends(), []);
  });

  it("is not taken for stuck while it computes nothing: its result may be on its way", () => {
    const pool = new Pool(["a"]);
    for (const next of ["b", "c", "d", "e"]) {
      const [{ trainerId = "" } = {}] = pool.state.tasks;
      pool.pass(62_000, () => "");
      const { quarantineReason, stuckIn } = pool.trainer(trainerId);
      assert.match(
        quarantineReason,
        /^. gave no result of step 1, micro-batch 0 in 6\d s and computes nothing; its net/,
      );
      assert.equal(stuckIn, "");
      pool.join(next);
    }
    assert.deepEqual(pool.ends(), []);
    assert.equal(pool.trainer("a").quarantinedUntilMs, 0);
  });

  it("fails the run when a micro-batch was given out ten times without a result", () => {
    const pool = new Pool(["a"]);
    for (let time = 0; time < 10; time++) {
      pool.pass(62_000, () => "");
      pool.join(`next-${time}`);
    }
    assert.match(pool.ends()[0] ?? "", /^step 1, micro-batch 0: it was given out 10 times without a result, most rec/);
  });

  it("is given its time from when it began, which may be late, after work that was taken from it", () => {
    const pool = new Pool(["a"]);
    const task = pool.taskOf("a")!;
    pool.pass(50_000, () => "work that was taken from it");
    pool.pass(50_000, () => task);
    assert.equal(pool.trainer("a").quarantineReason, "");
    pool.pass(20_000, () => task);
    assert.match(pool.trainer("a").quarantineReason, /^a gave no result of step 1, micro-batch 0 in 6\d s; its device/);
  });

  it("fails the run when three of them do not", () => {
    const pool = new Pool(["a"]);
    for (const next of ["b", "c", "d"]) {
      const [{ trainerId = "" } = {}] = pool.state.tasks;
      const stuckIn = pool.taskOf(trainerId)!;
      pool.pass(70_000, () => stuckIn);
      pool.join(next);
    }
    assert.match(
      pool.ends()[0] ?? "",
      /^step 1, micro-batch 0 was not computed by 3 trainers, most recently: c gave no/,
    );
  });
});

describe("a trainer that gives what another does not", () => {
  for (const [what, give] of [
    ["NaN", (pool: Pool, id: string) => pool.answer(id, { lossSum: NaN, doubt: "its loss is NaN" })],
    [
      "a permanent failure",
      (pool: Pool, id: string) => {
        const failure = { permanent: true, code: "data_loss", message: "its loss is NaN" };
        pool.happen({ type: "task-failed", taskId: pool.taskOf(id)!, ...failure });
        pool.happen({ type: "trainer-pulled", trainerId: id, tasks: 1 });
      },
    ],
  ] as const) {
    it(`is quarantined when a second one computes what it gave ${what} for`, () => {
      const pool = new Pool(["bad", "good"]);
      const { microBatch } = pool.state.tasks.find(({ trainerId }) => trainerId === "bad")!;
      give(pool, "bad");
      assert.deepEqual(pool.ends(), []);
      for (let i = 0; i < 4; i++) pool.answer("good");
      assert.match(
        pool.trainer("bad").quarantineReason,
        new RegExp(`^it refused step 1, micro-batch ${microBatch}, which good computed: its loss is NaN$`),
      );
    });

    it(`is believed when a second one gives ${what}, too`, () => {
      const pool = new Pool(["one", "two"]);
      for (let i = 0; i < 40 && pool.ends().length === 0 && !pool.state.runs[0]?.stepping; i++) {
        for (const id of ["one", "two"]) if (pool.taskOf(id)) give(pool, id);
      }
      if (what === "NaN") assert.equal(pool.state.runs[0]?.stepping, true);
      else assert.deepEqual(pool.ends(), ["its loss is NaN"]);
    });

    it(`is believed at once when it is alone and gives ${what}`, () => {
      const pool = new Pool(["one"]);
      for (let i = 0; i < 4 && pool.ends().length === 0; i++) give(pool, "one");
      if (what === "NaN") assert.equal(pool.state.runs[0]?.stepping, true);
      else assert.deepEqual(pool.ends(), ["its loss is NaN"]);
    });
  }
});

describe("a trainer that is greedy or somebody else", () => {
  it("holds no more tasks than are allowed, however many it pulls", () => {
    const pool = new Pool([]);
    pool.join("greedy");
    for (let i = 0; i < 100; i++) {
      pool.happen({ type: "micro-batch-arrived", runId: "r", lastOfStep: i % 4 === 3 });
      pool.happen({ type: "trainer-pulled", trainerId: "greedy", tasks: 1_000_000 });
    }
    assert.ok(pool.state.tasks.length + pool.trainer("greedy").credits <= MAX_CREDITS);
  });

  it("cannot take over another's name, nor send results of its tasks", async () => {
    await using world = await World.start();
    const honest = await world.trainer({ trainerId: "honest", instance: "a-secret", byHand: true });
    const runId = await world.submit(world.spec());
    await honest.until(() => honest.tasks.length === 2);
    const taken = await world.trainer({ trainerId: "honest", instance: "another", byHand: true });
    assert.ok(taken.ended && taken.welcome === undefined && !honest.ended);
    const forger = await world.trainer({ trainerId: "forger", byHand: true });
    const answer = await honest.compute(honest.tasks[0] ?? assert.fail());
    // Everything but the secret in its id can be guessed.
    const taskId = answer.header.taskId.replace(/\.[^.]*$/, ".AAAAAAAAAAAAAAAA");
    assert.notEqual(taskId, answer.header.taskId);
    for (const header of [
      { ...answer.header, taskId },
      { ...answer.header, trainerId: "forger" },
    ]) {
      assert.equal(await forger.push(header, answer.gradients), false);
    }
    assert.equal(await honest.push(answer.header, answer.gradients), true);
    const again = await world.trainer({ trainerId: "honest", instance: "a-secret" });
    await honest.until(() => honest.ended);
    await forger.kill();
    const { run } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.equal(again.ended, false);
  });

  it("cannot spoil a chart with a loss that no model has", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    trainer.alter = async ({ header, gradients }) => ({ header: { ...header, lossSum: 1e300 }, gradients });
    const { run } = await world.train(world.spec());
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.match(run.error?.message ?? "", /cannot be used: its loss is \S+e\+29\d a target/);
    assert.equal(run.lastStep, undefined);
  });
});
