/** gradpool run list: page by page, as many as are asked for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RunView, type ListRunsRequest } from "@gradpool/rpc";
import { runOf, startFakePool } from "./fake-pool.js";
import { run } from "./support.js";

const RUNS = 250;
const TIMEOUT = { timeout: 60_000 };

/** A pool that gives at most 40 runs a page; `asked` for what. */
function startPool(asked: ListRunsRequest[]) {
  return startFakePool({
    runs: {
      listRuns: async (request) => {
        asked.push(request);
        const start = Number(request.pageToken || 0);
        const end = Math.min(start + Math.min(request.pageSize, 40), RUNS);
        const runs = Array.from({ length: end - start }, (_, i) => runOf({ runId: `run-${start + i}` }));
        return { runs, nextPageToken: end < RUNS ? String(end) : "" };
      },
    },
  });
}

describe("gradpool run list", () => {
  test("lists the newest runs, and says that there are older ones", TIMEOUT, async () => {
    const asked: ListRunsRequest[] = [];
    await using server = await startPool(asked);
    const { code, stdout, stderr } = await run(["run", "list", "--address", server.address]);
    assert.equal(code, 0, stderr);
    assert.equal(stdout.match(/^run-\d+ /gm)?.length, 100);
    assert.match(stderr, /^the newest 100 runs; --all lists older ones, too$/m);
    assert.deepEqual(
      asked.map(({ pageSize, pageToken, view }) => [pageSize, pageToken, view]),
      [
        [100, "", RunView.RUN_VIEW_BASIC],
        [60, "40", RunView.RUN_VIEW_BASIC],
        [20, "80", RunView.RUN_VIEW_BASIC],
      ],
    );
  });

  test("lists as many as --limit says, or --all, with all of each run in documents", TIMEOUT, async () => {
    const asked: ListRunsRequest[] = [];
    await using server = await startPool(asked);
    const listed = async (...flags: string[]) => {
      const { code, stdout, stderr } = await run(["run", "list", "--address", server.address, "--json", ...flags]);
      assert.equal(code, 0, stderr);
      return { ids: (JSON.parse(stdout) as { run_id: string }[]).map((each) => each.run_id), stderr };
    };
    assert.deepEqual((await listed("--limit", "2")).ids, ["run-0", "run-1"]);
    assert.ok(asked.every(({ view }) => view === RunView.RUN_VIEW_FULL));
    const { ids, stderr } = await listed("--all");
    assert.deepEqual(
      ids,
      Array.from({ length: RUNS }, (_, i) => `run-${i}`),
    );
    assert.equal(stderr, "");
    assert.equal((await run(["run", "list", "--all", "--limit", "2"])).code, 2);
  });
});
