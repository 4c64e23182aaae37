import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { WatchRunResponse } from "@gradpool/rpc";
import { parse } from "yaml";
import { completed, startFakePool, stepOf } from "./fake-pool.js";
import { writeRunFolder, type FolderOptions } from "./run-folders.js";
import { run, withFolder, type Finished } from "./support.js";

/** Of two folders, written as given. */
async function diffOf(a: FolderOptions, b: FolderOptions, ...flags: string[]): Promise<Finished> {
  let finished: Finished | undefined;
  await withFolder(async (folder) => {
    const folders = [await writeRunFolder(join(folder, "a"), a), await writeRunFolder(join(folder, "b"), b)];
    finished = await run(["run", "diff", ...folders, "--address", "127.0.0.1:1", ...flags]);
  });
  assert.equal(finished?.code, 0, finished?.stderr);
  return finished as Finished;
}

describe("gradpool run diff", { timeout: 60_000 }, () => {
  test("says that two folders are the same", async () => {
    const { stdout } = await diffOf({}, { runId: "run-2" });
    assert.match(stdout, /^same base, data and recipe$/m);
    assert.match(
      stdout,
      /^loss: 3 steps in common, all with the same bits; the last is 2\.0000 at step 3 and 2\.0000/m,
    );
    assert.equal(JSON.parse((await diffOf({}, {}, "--json")).stdout).same, true);
  });

  test("shows recipe, hashes and where the losses differ", async () => {
    const other = { learningRate: 2e-3, r: 16, datasetHash: "dd", losses: [4, 3.5, 2.25, 1] };
    const { stdout } = await diffOf({}, other);
    assert.match(stdout, /^learning_rate +0\.001 +0\.002$/m);
    assert.match(stdout, /^lora_r +8 +16$/m);
    assert.match(stdout, /^dataset_hash +cc +dd$/m);
    assert.match(
      stdout,
      /^loss: 3 .*, different from step 2 on \(3 and 3\.5\), most at step 2, by 0\.500; .* step 3 and 1\.0/m,
    );
    assert.ok(!stdout.includes("epochs"));
  });

  test("gives the same as a document, in JSON and in YAML", async () => {
    const pair = [{}, { losses: [4, 3.5], evaluations: [{ step: 2, loss: 3 }], datasetHash: "dd" }] as const;
    const json = JSON.parse((await diffOf(...pair, "--json")).stdout) as Record<string, unknown>;
    assert.deepEqual(json, {
      a: { name: "a", run_id: "run-1", steps: 3 },
      b: { name: "b", run_id: "run-1", steps: 2 },
      same: false,
      settings: [],
      receipt: [{ name: "dataset_hash", a: "cc", b: "dd" }],
      losses: {
        common: 2,
        equal: 1,
        first_difference: { step: 2, a: 3, b: 3.5 },
        largest_difference: { step: 2, a: 3, b: 3.5 },
        last: { a: { step: 3, loss: 2 }, b: { step: 2, loss: 3.5 } },
      },
      evaluations: { common: 0, equal: 0, last: { b: { step: 2, loss: 3 } } },
    });
    assert.deepEqual(parse((await diffOf(...pair, "--output", "yaml")).stdout), json);
  });

  test("takes losses that are no numbers for the same", async () => {
    const losses = [4, null, 2];
    assert.match((await diffOf({ losses }, { losses })).stdout, /3 steps in common, all with the same bits/);
    assert.match((await diffOf({ losses }, {})).stdout, /different from step 2 on \(NaN and 3\)/);
  });

  test("compares a run of the pool with a folder, and says what it cannot see from here", async () => {
    const watchRun = async function* (): AsyncGenerator<WatchRunResponse> {
      yield { update: { $case: "run", value: completed() } };
      for (let step = 1; step <= 40; step++) yield { update: { $case: "step", value: stepOf(step) } };
    };
    await using pool = await startFakePool({ runs: { watchRun } });
    await withFolder(async (folder) => {
      const out = await writeRunFolder(join(folder, "out"));
      const { code, stdout, stderr } = await run(["run", "diff", "run-1", out, "--address", pool.address]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^learning_rate +0\.00005 +0\.001$/m);
      assert.match(stdout, /^hashes of base and data: not compared; both runs need a checkpoint on this machine$/m);
      assert.match(stdout, /^loss: 3 steps in common, different from step 1 on/m);
    });
  });
});
