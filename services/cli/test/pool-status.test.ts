/** gradpool pool status, on pools that are well and pools that are not. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TrainerState, type GetPoolResponse } from "@gradpool/rpc";
import { startFakePool, trainerOf } from "./fake-pool.js";
import { run, withFolder, type Finished } from "./support.js";

const POOL: GetPoolResponse = {
  services: [
    { name: "coordinator", address: "10.0.0.1:7070", serving: true, problem: "", startedAt: new Date(0) },
    { name: "tokenizer", address: "10.0.0.1:7071", serving: false, problem: "nobody listens", startedAt: undefined },
    { name: "data-stream", address: "10.0.0.1:7073", serving: true, problem: "", startedAt: undefined },
  ],
  trainers: [
    trainerOf(),
    trainerOf({
      trainerId: "trainer-2",
      state: TrainerState.TRAINER_STATE_QUARANTINED,
      stateReason: "3 failures in a row",
      runId: "run-1",
    }),
  ],
  activeRuns: 3,
  pausedRuns: 1,
};

async function statusOf(pool: GetPoolResponse, ...flags: string[]): Promise<Finished> {
  await using server = await startFakePool({ pool: { getPool: async () => pool } });
  let finished: Finished | undefined;
  await withFolder(async (home) => {
    finished = await run(["pool", "status", "--address", server.address, ...flags], { GRADPOOL_HOME: home });
  });
  assert.equal(finished?.code, 0, finished?.stderr);
  return finished as Finished;
}

describe("gradpool pool status", () => {
  test("shows services, trainers and runs", async () => {
    const { stdout, stderr } = await statusOf(POOL);
    assert.equal(stderr, "");
    assert.match(stdout, /^coordinator +10\.0\.0\.1:7070 +19(69|70)-\S+ \S+ +serving$/m);
    assert.match(stdout, /^tokenizer +10\.0\.0\.1:7071 +- +not serving: nobody listens$/m);
    assert.match(stdout, /^data-stream +10\.0\.0\.1:7073 +- +serving$/m);
    assert.match(stdout, /^trainer-1 .* - +active$/m);
    assert.match(stdout, /^trainer-2 .* run-1 +quarantined: 3 failures in a row$/m);
    assert.match(stdout, /^3 active runs, 1 of them paused$/m);
  });

  test("--json gives one document with all of it", async () => {
    const status = JSON.parse((await statusOf(POOL, "--json")).stdout) as Record<string, Record<string, unknown>[]>;
    assert.deepEqual(status["services"]?.[1], {
      name: "tokenizer",
      address: "10.0.0.1:7071",
      serving: false,
      problem: "nobody listens",
    });
    assert.deepEqual(
      status["trainers"]?.map(({ state, state_reason: reason }) => [state, reason]),
      [
        ["active", undefined],
        ["quarantined", "3 failures in a row"],
      ],
    );
    assert.deepEqual([status["active_runs"], status["paused_runs"]], [3, 1]);
    assert.ok(Array.isArray(status["processes"]));
  });

  test("says so when the pool is empty", async () => {
    const { stdout } = await statusOf({ ...POOL, trainers: [], activeRuns: 0, pausedRuns: 0 });
    assert.match(stdout, /^no trainers are connected; runs wait for one$/m);
    assert.match(stdout, /^no active runs$/m);
  });
});
