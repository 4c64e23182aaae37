/** A trainer that works for two coordinators which know nothing of each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RunState } from "@gradpool/rpc";
import { fingerprint, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";

/** Steps that the other run makes while a coordinator is down. */
const MEANWHILE = 3;

test(
  "runs of both train at once, and one of the two is killed: the same bytes as alone",
  { timeout: 600_000 },
  async () => {
    await using workspace = await Workspace.create();
    const dataset = await workspace.dataset(120);
    const recipe = { batchSize: 4, gradientAccumulation: 2, maxLength: 48 };
    const spec = (name: string, r: number) => tinyRun(dataset, workspace.path(name), recipe, { r });
    const start = (name: string) =>
      Stack.start({ trainers: 0, runStore: workspace.path(`${name}.sqlite`), recoverySeconds: 0.2 });
    await using one = await start("one");
    await using two = await start("two");
    await one.addTrainer(1, { GRADPOOL_COORDINATOR_ADDRESS: `${one.address},${two.address}` });

    await one.train(spec("alone-a", 4));
    await two.train(spec("alone-b", 16));

    let [madeByOne, madeByTwo] = [0, 0];
    let downFrom: number | undefined;
    let restarted: Promise<void> | undefined;
    let advanced = () => {};
    const runs = [await one.submit(spec("together-a", 4)), await two.submit(spec("together-b", 16))];
    const [first, second] = await Promise.all([
      one.watch(runs[0]!.runId, ({ step }) => {
        madeByOne = step;
        if (restarted || step < 4 || madeByTwo < 1) return;
        downFrom = madeByTwo;
        restarted = one.restartCoordinator(() => new Promise((resolve) => (advanced = resolve)));
      }),
      two.watch(runs[1]!.runId, ({ step }) => {
        madeByTwo = step;
        if (downFrom !== undefined && step >= downFrom + MEANWHILE) advanced();
      }),
    ]);
    await restarted;
    for (const { run } of [first, second]) assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.ok(downFrom !== undefined && madeByOne > 0, "one coordinator was killed while both runs trained");
    for (const name of ["a", "b"]) {
      assert.deepEqual(
        await fingerprint(workspace.path(`together-${name}`)),
        await fingerprint(workspace.path(`alone-${name}`)),
        name,
      );
    }

    const messages = one.trainerLogs.flat();
    const count = (text: string) => messages.filter((message) => message.includes(text)).length;
    assert.equal(count("loading a base model"), 1, "one session for the runs of both (I9)");
    assert.equal(count("connected to the coordinator"), 3, "to each, and once more to the one that was killed");
    assert.equal(count(`the coordinator at ${two.address}`), 0, "the other conversation continued");
  },
);
