/** gradpool run delete. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { RunState } from "@gradpool/rpc";
import { runOf, startFakePool } from "./fake-pool.js";
import { run } from "./support.js";

const TIMEOUT = { timeout: 60_000 };
const DAY_MS = 86_400_000;

/** A pool whose runs ended 1, 40 and 90 days ago; `deleted` are those that it was told to delete. */
function startPool(deleted: string[]) {
  const ended = (days: number) =>
    runOf({
      runId: `run-${days}`,
      state: RunState.RUN_STATE_COMPLETED,
      endedAt: new Date(Date.now() - days * DAY_MS),
    });
  return startFakePool({
    runs: {
      listRuns: async ({ states }) => {
        assert.ok(!states.includes(RunState.RUN_STATE_RUNNING) && states.includes(RunState.RUN_STATE_FAILED));
        return { runs: [1, 40, 90].map(ended), nextPageToken: "" };
      },
      deleteRun: async ({ runId }) => {
        if (runId === "run-none") throw new GradpoolError("not_found", `there is no run ${runId}`);
        deleted.push(runId);
        return {};
      },
    },
  });
}

describe("gradpool run delete", () => {
  test("deletes the runs that are named, and says where it stopped", TIMEOUT, async () => {
    const deleted: string[] = [];
    await using server = await startPool(deleted);
    const { code, stdout } = await run(["run", "delete", "run-1", "run-40", "--address", server.address]);
    assert.equal(code, 0);
    assert.equal(stdout, "run run-1 is deleted\nrun run-40 is deleted\n");
    assert.deepEqual(deleted, ["run-1", "run-40"]);
    const failed = await run(["run", "delete", "run-90", "run-none", "run-1", "--json", "--address", server.address]);
    assert.equal(failed.code, 1);
    assert.deepEqual((JSON.parse(failed.stdout) as { deleted: string[] }).deleted, ["run-90"]);
  });

  test("deletes all that ended that long ago, or only says which", TIMEOUT, async () => {
    const deleted: string[] = [];
    await using server = await startPool(deleted);
    const told = await run(["run", "delete", "--older-than", "30d", "--dry-run", "--address", server.address]);
    assert.match(
      told.stdout,
      /^run run-40 would be deleted\nrun run-90 would be deleted\n2 runs ended that long ago$/m,
    );
    assert.deepEqual(deleted, []);
    const { code } = await run(["run", "delete", "--older_than", "8w", "--address", server.address]);
    assert.equal(code, 0);
    assert.deepEqual(deleted, ["run-90"]);
  });

  test("needs either runs or an age", TIMEOUT, async () => {
    for (const words of [[], ["run-1", "--older_than", "30d"], ["--older_than", "soon"]]) {
      assert.equal((await run(["run", "delete", ...words])).code, 2);
    }
  });
});
