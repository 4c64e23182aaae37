/** Several coordinators on a real PostgreSQL: whichever is lost, stopped or paused, each run has a quiet run's bytes (I2, I5, I6). */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  assertEachOnce,
  Coordinators,
  fingerprint,
  postgresPrograms,
  quietFingerprint,
  tinyRun,
  Workspace,
  type Fingerprint,
  type Finished,
} from "@gradpool/integration-tests";
import { RunState, type StepMetrics } from "@gradpool/rpc";

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
  });

  test("an owner that stops in order hands its runs over, and no step is lost", async () => {
    await trainedThrough(
      "rolling",
      async (owner) => assert.equal(await pool.stopInOrder(owner), 0),
      (owner) => (owner + 1) % 3,
    );
  });
});
