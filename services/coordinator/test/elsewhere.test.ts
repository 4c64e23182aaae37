/** Trainers that compute for other coordinators, too. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { emptyPool, type Input, type PoolState, type SignOfLife, type TaskResult } from "../src/core/state.js";
import { LATE_FACTOR, MIN_LATE_MS } from "../src/core/tasks.js";
import { transition } from "../src/core/transition.js";
import { World } from "./world.js";

const LEASE_MS = 10_000;
const LONGEST_TURN_MS = 60_000;
const HEARTBEAT_MS = 2_000;
const RESULT: TaskResult = {
  ...{ lossSum: 1, targetTokens: 1, gradients: new Map(), computeMs: 1, waitMs: 1, fetchMs: 1 },
};

/** A run with micro-batches to spare, and trainers that pull one each. */
class Pool {
  state: PoolState = emptyPool();
  #nowMs = 0;

  constructor(trainers: readonly string[]) {
    this.happen({ type: "run-submitted", runId: "r" });
    const steps = { totalSteps: 9, stepsDone: 0, deviceClass: undefined };
    const bounds = { evaluate: false, stopped: false, longestTurnMs: LONGEST_TURN_MS };
    this.happen({ type: "run-prepared", runId: "r", ...steps, ...bounds });
    for (const trainerId of trainers) this.happen({ type: "trainer-joined", trainerId, deviceClass: "cpu" });
  }

  arrive(count: number): void {
    for (let i = 0; i < count; i++) this.happen({ type: "micro-batch-arrived", runId: "r", lastOfStep: false });
  }

  pull(trainerId: string): void {
    this.happen({ type: "trainer-pulled", trainerId, tasks: 1 });
  }

  happen(input: Input): void {
    this.state = transition(this.state, { ...input, nowMs: this.#nowMs }).state;
  }

  /** All trainers send heartbeats meanwhile, which say this. */
  pass(ms: number, sign: (trainerId: string) => SignOfLife): void {
    for (const end = this.#nowMs + ms; this.#nowMs < end;) {
      this.#nowMs += HEARTBEAT_MS;
      for (const { trainerId } of this.state.trainers) {
        this.happen({ type: "trainer-heard", trainerId, ...sign(trainerId) });
      }
      this.happen({ type: "time-passed", leaseMs: LEASE_MS });
    }
  }

  taskOf = (trainerId: string) => this.state.tasks.find((task) => task.trainerId === trainerId)?.taskId;
  trainer = (trainerId: string) => this.state.trainers.find((one) => one.trainerId === trainerId)!;
  isLate = () => this.state.runs[0]!.group.some(({ late }) => late);

  answer(trainerId: string): void {
    this.happen({ type: "result-arrived", taskId: this.taskOf(trainerId)!, result: RESULT });
    this.pull(trainerId);
  }
}

const own = (pool: Pool) => (trainerId: string) => ({ computing: pool.taskOf(trainerId) ?? "" });
const waiting = () => ({ computing: "", waiting: true, tasksElsewhere: 1 });

/** A pool that knows how long its micro-batches take. */
function measured(): Pool {
  const pool = new Pool(["a"]);
  pool.arrive(32);
  pool.pull("a");
  for (let i = 0; i < 4; i++) {
    pool.pass(HEARTBEAT_MS, own(pool));
    pool.answer("a");
  }
  return pool;
}

describe("a trainer that computes for another coordinator", () => {
  it("is neither late nor stuck however long the micro-batch waits, nor when it then takes as long as usual", () => {
    const pool = measured();
    const usualMs = pool.state.runs[0]!.turnMs;
    pool.pass(3 * LONGEST_TURN_MS, waiting);
    assert.deepEqual([pool.isLate(), pool.trainer("a").quarantineReason], [false, ""]);
    pool.pass(HEARTBEAT_MS, own(pool));
    assert.equal(pool.isLate(), false);
    pool.answer("a");
    assert.ok(pool.state.runs[0]!.turnMs <= usualMs, "time given to others is no part of the usual");
  });

  it("is late and stuck in its own work as ever", () => {
    const pool = measured();
    pool.pass(30_000, waiting);
    pool.pass(Math.max(MIN_LATE_MS, LATE_FACTOR * pool.state.runs[0]!.turnMs) + HEARTBEAT_MS, own(pool));
    assert.ok(pool.isLate());
    const computing = pool.taskOf("a")!;
    pool.pass(LONGEST_TURN_MS, () => ({ computing }));
    assert.match(pool.trainer("a").quarantineReason, /^a gave no result of step 1.*its device may be stuck/);
  });

  it("is not waited for where it fetches slowly, whatever others give it", () => {
    const pool = measured();
    pool.pass(LONGEST_TURN_MS + 4_000, () => ({ computing: "", tasksElsewhere: 2 }));
    assert.match(pool.trainer("a").quarantineReason, /computes nothing; its network may be slow/);
  });

  it("loses its work while it is stuck in that of the other, and gets work again once it is not", () => {
    const pool = measured();
    pool.pass(HEARTBEAT_MS, () => ({ computing: "", waiting: true, stuckElsewhere: true }));
    assert.match(pool.trainer("a").quarantineReason, /^it takes too long for a micro-batch of another coordinator/);
    assert.deepEqual(pool.state.tasks, []);
    pool.pull("a");
    pool.pass(5 * LONGEST_TURN_MS, () => ({ computing: "", stuckElsewhere: true }));
    assert.deepEqual(pool.state.tasks, []);
    // Another micro-batch of that coordinator.
    pool.pass(HEARTBEAT_MS, () => ({ computing: "", tasksElsewhere: 1 }));
    assert.deepEqual([pool.trainer("a").quarantinedUntilMs, pool.state.tasks.length], [0, 1]);
  });

  it("is given work after those that have none", () => {
    const pool = new Pool(["a", "b", "c"]);
    for (const trainerId of ["a", "b", "c"]) pool.pull(trainerId);
    pool.pass(HEARTBEAT_MS, (trainerId) => ({ computing: "", tasksElsewhere: trainerId === "c" ? 0 : 1 }));
    pool.arrive(1);
    assert.deepEqual(
      pool.state.tasks.map(({ trainerId }) => trainerId),
      ["c"],
    );
  });
});

describe("a trainer that reaches the same coordinator by another address", { timeout: 240_000 }, () => {
  it("is told so, and its first conversation continues", async () => {
    await using world = await World.start();
    const process = { trainerId: "a", instance: "of-this-process" };
    const first = await world.trainer(process);
    assert.match(first.coordinatorId, /^[0-9a-f-]{36}$/);
    const second = await world.trainer({ ...process, coordinatorIds: ["another", first.coordinatorId] });
    await second.until(() => second.ended);
    assert.equal(second.coordinatorId, first.coordinatorId);
    await world.train(world.spec({ outputDir: world.outputDir("first") }));
    assert.ok(!first.ended && first.accepted.length > 0 && second.tasks.length === 0);
    assert.ok(first.tasks.every(({ longestTurnMs }) => longestTurnMs >= 600_000));
  });
});
