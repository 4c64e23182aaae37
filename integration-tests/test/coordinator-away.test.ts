/** A coordinator that is killed and down for a while: nothing is lost when it is back (I4), and the result is the same (I2). */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ListRunsRequest, RunState, type Run } from "@gradpool/rpc";
import { fingerprint, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";

/** Seconds down; GRADPOOL_AWAY_SECONDS="0 20 60" for longer ones. */
const AWAY_SECONDS = (process.env["GRADPOOL_AWAY_SECONDS"] ?? "0 2").split(" ").map(Number);

test("after a coordinator was down: the same queue, no step lost or repeated", { timeout: 900_000 }, async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(100);
  const runStore = workspace.path("runs.sqlite");
  await using stack = await Stack.start({ trainers: 2, runStore, recoverySeconds: 0.2 });
  await stack.train(tinyRun(dataset, workspace.path("whole")));
  const whole = await fingerprint(workspace.path("whole"));

  for (const seconds of AWAY_SECONDS) {
    const folders = ["first", "second", "resting"].map((name) => workspace.path(`${name}-${seconds}`));
    const runs: Run[] = [];
    for (const folder of folders) runs.push(await stack.submit(tinyRun(dataset, folder)));
    const [first, second, resting] = runs.map(({ runId }) => runId);
    assert.ok(first && second && resting);
    await stack.runs.pauseRun({ requestId: randomUUID(), runId: resting });
    let restarted: Promise<void> | undefined;
    const finished = await stack.watch(first, async ({ step }) => {
      if (step === 4) restarted = stack.restartCoordinator(() => delay(1000 * seconds));
    });
    await restarted;
    const listed = (await stack.runs.listRuns(ListRunsRequest.create())).runs.map(({ runId, state }) => [runId, state]);
    assert.deepEqual(
      listed.slice(0, 3).map(([runId]) => runId),
      [resting, second, first],
    );
    assert.deepEqual(listed[0], [resting, RunState.RUN_STATE_PAUSED]);
    await stack.runs.resumeRun({ requestId: randomUUID(), runId: resting });
    const others = [await stack.watch(second), await stack.watch(resting)];
    for (const { run, steps } of [finished, ...others]) {
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.deepEqual(
        steps.map(({ step }) => step),
        whole.losses.map((_, i) => i + 1),
      );
    }
    for (const folder of folders) assert.deepEqual(await fingerprint(folder), whole, `${seconds} s away`);
  }
});
