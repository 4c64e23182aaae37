/** Several coordinators on a real PostgreSQL: whichever is lost, stopped or paused, each run has a quiet run's bytes (I2, I5, I6). */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import {
  assertEachOnce,
  Coordinators,
  fingerprint,
  postgresPrograms,
  quietFingerprint,
  STACK_KEY,
  startService,
  tinyRun,
  Workspace,
  type Fingerprint,
  type Finished,
} from "@gradpool/integration-tests";
import { createClient, PoolServiceService, RunState, TrainerState, withKey, type StepMetrics } from "@gradpool/rpc";

const LEASE_SECONDS = 1;
const { skip } = await postgresPrograms();

describe("three coordinators", { skip, timeout: 300_000 }, () => {
  let workspace: Workspace;
  let dataset: string;
  let pool: Coordinators;
  let quiet: Fingerprint;

  const spec = (name: string) =>
    tinyRun(dataset, workspace.path(name), { epochs: 2, gradientAccumulation: 2, packing: true, saveEvery: 9 });

  before(async () => {
    workspace = await Workspace.create();
    dataset = await workspace.dataset(160);
    quiet = await quietFingerprint(workspace, spec("quiet"));
    pool = await Coordinators.start({ coordinators: 3, leaseSeconds: LEASE_SECONDS });
    await pool.addTrainers(1);
  });

  after(async () => {
    await pool?.[Symbol.asyncDispose]();
    await workspace?.[Symbol.asyncDispose]();
  });

  /** Trains a run, and does something to the coordinators after one of its steps; it must end as a quiet one does. */
  async function trainedThrough(
    name: string,
    disturb: (owner: number, step: StepMetrics) => Promise<void>,
    watcher: (owner: number) => number,
  ): Promise<Finished> {
    const runId = await pool.submit(0, spec(name));
    let disturbed: Promise<void> | undefined;
    const first = await pool.ownerOf(runId);
    assert.equal(first, 0, "whoever receives a run owns it");
    const finished = await pool.watch(watcher(first), runId, (step) => {
      if (step.step === 5) disturbed = disturb(first, step);
    });
    await disturbed;
    assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
    assert.deepEqual(await fingerprint(workspace.path(name)), quiet);
    assertEachOnce(await pool.events(1), runId, finished.steps.length);
    return finished;
  }

  test("kill -9 of a run's owner: another takes it over", async () => {
    await trainedThrough(
      "killed",
      async (owner) => {
        pool.signal(owner, "SIGKILL");
        await delay(0);
      },
      (owner) => (owner + 1) % 3,
    );
  });

  test("an owner that is paused beyond its lease wakes up, writes nothing, and ends", async () => {
    const starts = pool.starts(0);
    await trainedThrough(
      "paused",
      async (owner) => {
        pool.signal(owner, "SIGSTOP");
        await delay(4_000 * LEASE_SECONDS);
        pool.signal(owner, "SIGCONT");
      },
      (owner) => (owner + 1) % 3,
    );
    while (pool.starts(0) === starts) await delay(50);
    assert.match(pool.log(0).join("\n"), /others have taken its runs over|its runs were taken over/);
    // It said that it did not end by itself: no run was the reason.
    assert.equal((await pool.postgres.query("SELECT count(*) FROM gradpool.coordinators WHERE commits = -1"))[0], "1");
  });

  test("an owner that stops in order hands its runs over, and no step is lost", async () => {
    await trainedThrough(
      "rolling",
      async (owner) => assert.equal(await pool.stopInOrder(owner), 0),
      (owner) => (owner + 1) % 3,
    );
  });

  test("the same request at two coordinators at once submits one run, which both know", async () => {
    const request = { requestId: randomUUID(), spec: spec("twice") };
    const submitted = await Promise.all([0, 1, 2].map((i) => pool.client(i).submitRun(request)));
    const [runId = ""] = new Set(submitted.map(({ run }) => run?.runId));
    assert.deepEqual(
      submitted.map(({ run }) => run?.runId),
      [runId, runId, runId],
    );
    await pool.client(1).cancelRun({ requestId: randomUUID(), runId });
    for (const i of [0, 1, 2]) {
      const { run } = await pool.client(i).getRun({ runId });
      assert.equal(run?.state, RunState.RUN_STATE_CANCELLED, `coordinator ${i}`);
    }
  });

  test("two coordinators never write into one output folder at once", async () => {
    const both = await Promise.allSettled(
      [1, 2].map((i) => pool.client(i).submitRun({ requestId: randomUUID(), spec: spec("wanted-by-two") })),
    );
    const refused = both.flatMap((one) => (one.status === "rejected" ? [GradpoolError.from(one.reason)] : []));
    assert.equal(refused.length, 1);
    assert.equal(refused[0]?.code, "failed_precondition");
    assert.match(
      refused[0]?.message ?? "",
      /output_dir .*is in use by .*; choose another output_dir, or cancel that run/,
    );
    const runId = both.flatMap((one) => (one.status === "fulfilled" ? [one.value.run?.runId] : []))[0] ?? "";
    await pool.client(0).cancelRun({ requestId: randomUUID(), runId });
  });

  test("a trainer that is drained at one coordinator gets work from none", async () => {
    const pools = [0, 1, 2].map((i) => createClient(PoolServiceService, pool.address(i), [withKey(() => STACK_KEY)]));
    try {
      const trainerAt = async (i: number) => (await pools[i]!.listTrainers({})).trainers[0];
      const isDraining = async (i: number) => (await trainerAt(i))?.state === TrainerState.TRAINER_STATE_DRAINING;
      const trainerId = (await trainerAt(0))?.trainerId ?? "";
      await pools[1]!.drainTrainer({ requestId: randomUUID(), trainerId });
      for (const i of [0, 1, 2]) while (!(await isDraining(i))) await delay(20);
      const waiting = await pool.submit(2, spec("drained"));
      const recorded = async () => (await pool.client(1).getRun({ runId: waiting })).run;
      while ((await recorded())?.state !== RunState.RUN_STATE_RUNNING) await delay(20);
      assert.equal((await recorded())?.step, 0);
      await pools[0]!.undrainTrainer({ requestId: randomUUID(), trainerId });
      for (const i of [0, 1, 2]) while (await isDraining(i)) await delay(20);
      const { run } = await pool.watch(1, waiting);
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.deepEqual(await fingerprint(workspace.path("drained")), quiet);
    } finally {
      for (const client of pools) client.close();
    }
  });

  test("a coordinator of an older gradpool does not join members of a newer one", async () => {
    const { postgres } = pool;
    const addressOf = (name: string) => pool.services.get(name)?.address ?? "";
    const addresses = {
      GRADPOOL_TOKENIZER_ADDRESS: addressOf("tokenizer"),
      GRADPOOL_DATA_STREAM_ADDRESS: addressOf("data-stream"),
      GRADPOOL_CHECKPOINT_STORE_ADDRESS: addressOf("checkpoint-store"),
    };
    const newer = "'newer', 'newer:1', 1000, now() + interval '1 hour'";
    await postgres.query(`INSERT INTO gradpool.coordinators (id, address, protocol, expires_at) VALUES (${newer})`);
    try {
      await assert.rejects(
        startService("coordinator", { ...addresses, GRADPOOL_STORE: postgres.url() }),
        /the coordinator at newer:1 speaks protocol 1000, and this one \d+; start this one in the newer version, too/,
      );
    } finally {
      await postgres.query("DELETE FROM gradpool.coordinators WHERE id = 'newer'");
    }
  });
});

describe("two coordinators", { skip, timeout: 300_000 }, () => {
  test("runs that wait in the queue of one are begun by the other, and end as if alone", async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(8);
    const spec = (name: string) => tinyRun(dataset, workspace.path(name), { maxSteps: 2 });
    const quiet = await quietFingerprint(workspace, spec("quiet"));
    await using pool = await Coordinators.start({ coordinators: 2, leaseSeconds: 5 });
    const names = Array.from({ length: 34 }, (_, i) => `run-${i}`);
    // Without a trainer none of them ends before all are there: 32 are begun.
    const runIds: string[] = [];
    for (const name of names) runIds.push(await pool.submit(0, spec(name)));
    const moved = runIds.slice(32);
    const watched = moved.map((runId) => pool.watch(0, runId));
    // Thrown below, where they are waited for.
    for (const one of watched) one.catch(() => {});
    for (const runId of moved) while ((await pool.ownerOf(runId)) !== 1) await delay(50);
    for (const runId of runIds.slice(0, 32)) await pool.client(0).cancelRun({ requestId: randomUUID(), runId });
    await pool.addTrainers(1);
    for (const { run, steps } of await Promise.all(watched)) {
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assertEachOnce(await pool.events(0), run.runId, steps.length);
    }
    for (const name of names.slice(32)) assert.deepEqual(await fingerprint(workspace.path(name)), quiet);
  });
});
