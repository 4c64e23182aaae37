/** A rolling upgrade, and one that is undone: coordinators and trainers of two releases share a pool, and no step is lost (I2). */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  Coordinators,
  fingerprint,
  hasPreviousRelease,
  postgresPrograms,
  PreviousRelease,
  quietFingerprint,
  tinyRun,
  Workspace,
  type Fingerprint,
} from "@gradpool/integration-tests";
import { RunState } from "@gradpool/rpc";

const skip = (await postgresPrograms()).skip || (await hasPreviousRelease()).skip;

describe("the previous release beside this one", { skip, timeout: 600_000 }, () => {
  const [OLD, NEW] = [0, 1];
  let workspace: Workspace;
  let dataset: string;
  let previous: PreviousRelease;
  let pool: Coordinators;
  let quiet: Fingerprint;

  const spec = (name: string) =>
    tinyRun(dataset, workspace.path(name), { epochs: 2, gradientAccumulation: 2, packing: true, saveEvery: 9 });

  before(async () => {
    previous = await PreviousRelease.build();
    workspace = await Workspace.create();
    dataset = await workspace.dataset(160);
    quiet = await quietFingerprint(workspace, spec("quiet"));
    const checkoutOf = (i: number) => (i === OLD ? previous.checkout : undefined);
    pool = await Coordinators.start({ coordinators: 2, checkoutOf });
    await pool.addTrainers(1, previous.checkout);
    await pool.addTrainers(1);
  });

  after(async () => {
    await pool?.[Symbol.asyncDispose]();
    await workspace?.[Symbol.asyncDispose]();
    await previous?.[Symbol.asyncDispose]();
  });

  for (const { name, owner, other, leave } of [
    { name: "upgraded", owner: OLD, other: NEW, leave: () => pool.stopInOrder(OLD) },
    { name: "undone", owner: NEW, other: OLD, leave: () => pool.stopInOrder(NEW) },
    { name: "old-killed", owner: OLD, other: NEW, leave: () => pool.signal(OLD, "SIGKILL") },
    { name: "new-killed", owner: NEW, other: OLD, leave: () => pool.signal(NEW, "SIGKILL") },
  ]) {
    test(`${name}: the run continues at the other release, which its client asks all the time`, async () => {
      const runId = await pool.submit(owner, spec(name));
      let left: unknown;
      const { run, steps } = await pool.watch(other, runId, ({ step }) => {
        if (step === 5) left = leave();
      });
      await left;
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.deepEqual(
        steps.map(({ step }) => step),
        steps.map((_, i) => i + 1),
      );
      assert.deepEqual(await fingerprint(workspace.path(name)), quiet);
    });
  }
});
