/** Names and tags of runs, where commands show them and take them. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { RunState, type ListRunsRequest, type Run, type WatchRunResponse } from "@gradpool/rpc";
import { completed, runOf, startFakePool, stepOf, type FakeHandlers } from "./fake-pool.js";
import { writeRunFolder } from "./run-folders.js";
import { run, withFolder, type Finished } from "./support.js";

const named = (runId: string, runName: string, ...tags: string[]): Run =>
  runOf({ runId, spec: { ...runOf().spec!, runName, tags } });

const RUNS = [
  named("run-4", "once", "team-a", "lr"),
  named("run-3", "twice"),
  named("run-2", "Twice"),
  named("run-1", "twice"),
];

async function on(runs: NonNullable<FakeHandlers["runs"]>, ...argv: string[]): Promise<Finished> {
  await using pool = await startFakePool({ runs });
  return await run([...argv, "--address", pool.address]);
}

describe("run list", { timeout: 60_000 }, () => {
  test("shows names and tags where there are some, and says what to filter by", async () => {
    const asked: ListRunsRequest[] = [];
    const listRuns = async (request: ListRunsRequest) => {
      asked.push(request);
      return { runs: request.runName === "none" ? [] : RUNS, nextPageToken: "" };
    };
    const { stdout } = await on({ listRuns }, "run", "list");
    assert.match(stdout, /^run +name +state .* output folder +tags +remark$/m);
    assert.match(stdout, /^run-4 +once +running .* \/out +team-a, lr$/m);
    const flags = ["--name", "none", "--tag", "a", "b,c", "--state", "running,paused", "failed"];
    assert.equal((await on({ listRuns }, "run", "list", ...flags)).stdout, "no such runs\n");
    const { states, runName, tags } = asked.at(-1)!;
    assert.deepEqual([runName, tags], ["none", ["a", "b", "c"]]);
    assert.deepEqual(states, [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_PAUSED, RunState.RUN_STATE_FAILED]);
    const wrong = await on({ listRuns }, "run", "list", "--state", "done");
    assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
    assert.match(wrong.stderr, /--state must be one of queued, .*, cancelled, not "done"/);
  });

  test("has neither column where no run has a name or tags", async () => {
    const { stdout } = await on({ listRuns: async () => ({ runs: [runOf()], nextPageToken: "" }) }, "run", "list");
    assert.match(stdout, /^run +state +step .* output folder +remark$/m);
  });
});

describe("a run's name in place of its id", { timeout: 60_000 }, () => {
  const handlers = {
    // As the coordinator: part of the name, in upper or lower case.
    listRuns: async ({ runName }: ListRunsRequest) => ({
      runs: RUNS.filter(({ spec }) => spec?.runName.toLowerCase().includes(runName.toLowerCase())),
      nextPageToken: "",
    }),
    getRun: async ({ runId }: { runId: string }) => {
      const found = RUNS.find((one) => one.runId === runId);
      if (!found) throw new GradpoolError("not_found", `there is no run ${runId}`);
      return { run: found };
    },
  };

  test("is enough where only one run has it", async () => {
    const { stdout } = await on(handlers, "run", "get", "once");
    assert.match(stdout, /^run +run-4\nname +once\ntags +team-a, lr$/m);
    assert.match((await on(handlers, "run", "get", "Twice")).stdout, /^run +run-2$/m);
  });

  test("is refused where several have it, and where none does the error is that of the id", async () => {
    const several = await on(handlers, "run", "get", "twice");
    assert.equal(several.stderr, "gradpool: 2 runs are named twice; give the id of one: run-3, run-1\n");
    assert.equal((await on(handlers, "run", "get", "nce")).stderr, "gradpool: there is no run nce\n");
  });
});

test(
  "run plot names runs in its legend by their names, with the id where a name is shared",
  { timeout: 60_000 },
  async () => {
    const watchRun = async function* ({ runId }: { runId: string }): AsyncGenerator<WatchRunResponse> {
      const found = RUNS.find((one) => one.runId === runId);
      if (!found) throw new GradpoolError("not_found", `there is no run ${runId}`);
      yield { update: { $case: "run", value: { ...completed(), runId, spec: found.spec } } };
      for (let step = 1; step <= 3; step++) yield { update: { $case: "step", value: stepOf(step) } };
    };
    const listRuns = async () => ({ runs: RUNS, nextPageToken: "" });
    await withFolder(async (folder) => {
      const out = await writeRunFolder(join(folder, "out"), { runName: "in a folder" });
      const flags = ["--to", join(folder, "runs.svg"), "--json"];
      const { code, stdout, stderr } = await on(
        { watchRun, listRuns },
        "run",
        "plot",
        "run-1",
        "once",
        "run-3",
        out,
        ...flags,
      );
      assert.equal(code, 0, stderr);
      assert.deepEqual((JSON.parse(stdout) as { runs: object[] }).runs[1], {
        ...{ name: "once", run_id: "run-4", run_name: "once", steps: 3 },
      });
      const svg = await readFile(join(folder, "runs.svg"), "utf8");
      for (const text of ["twice (run-1)", "once", "twice (run-3)", "in a folder"]) {
        assert.ok(svg.includes(`>${text}</text>`), text);
      }
    });
  },
);
