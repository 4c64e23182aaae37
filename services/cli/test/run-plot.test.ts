import assert from "node:assert/strict";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { RunState, type WatchRunResponse } from "@gradpool/rpc";
import { completed, runOf, startFakePool, stepOf } from "./fake-pool.js";
import { writeRunFolder } from "./run-folders.js";
import { run, withFolder, type Finished } from "./support.js";

const NO_POOL = ["--address", "127.0.0.1:1"];

async function plot(...argv: string[]): Promise<Finished> {
  return run(["run", "plot", ...argv]);
}

async function assertPicture(path: string, format: "png" | "svg"): Promise<string> {
  const bytes = await readFile(path);
  if (format === "png") assert.equal(bytes.subarray(1, 4).toString(), "PNG");
  else assert.match(bytes.toString(), /^<svg/);
  return bytes.toString();
}

describe("gradpool run plot", { timeout: 120_000 }, () => {
  test("draws an output folder without a pool, done or not", async () => {
    await withFolder(async (folder) => {
      for (const isUnfinished of [false, true]) {
        const out = await writeRunFolder(join(folder, `out-${isUnfinished}`), { isUnfinished });
        const to = join(folder, "pictures", String(isUnfinished));
        const { code, stdout, stderr } = await plot(out, ...NO_POOL, "--what", "all", "--format=svg", "--to", to);
        assert.equal(code, 0, stderr);
        const names = ["learning-rate", "loss", "throughput"].map((what) => `out-${isUnfinished}-${what}.svg`);
        assert.deepEqual((await readdir(to)).sort(), names);
        assert.match(stdout, new RegExp(`^loss +${to}/out-${isUnfinished}-loss\\.svg$`, "m"));
        assert.match(
          await assertPicture(join(to, names[1]!), "svg"),
          />3 steps, loss 4\.0000 at the first step, 2\.0000/,
        );
        // 100 tokens in half a second.
        assert.match(await assertPicture(join(to, names[2]!), "svg"), />3 steps, 300 target tokens, 200 per second</);
      }
    });
  });

  test("takes the file and its format from --to, and the loss as a PNG otherwise", async () => {
    await withFolder(async (folder) => {
      const out = await writeRunFolder(join(folder, "out"));
      assert.equal((await plot(out, "--to", join(folder, "new/rate.svg"), "--what=learning-rate")).code, 2);
      const rate = await plot(out, "--to", join(folder, "new/rate.svg"), "--what=learning_rate", "--json");
      assert.deepEqual(JSON.parse(rate.stdout), {
        runs: [{ name: "out", run_id: "run-1", steps: 3 }],
        plots: [{ what: "learning_rate", format: "svg", path: join(folder, "new/rate.svg") }],
      });
      assert.match(await assertPicture(join(folder, "new/rate.svg"), "svg"), />learning rate</);
      assert.equal((await plot(out, "--to", folder)).code, 0);
      await assertPicture(join(folder, "out-loss.png"), "png");
    });
  });

  test("compares runs of the pool and folders in one picture, at most once each", async () => {
    const ended = async function* (): AsyncGenerator<WatchRunResponse> {
      yield { update: { $case: "run", value: completed() } };
      for (let step = 1; step <= 40; step++) yield { update: { $case: "step", value: stepOf(step) } };
    };
    await using pool = await startFakePool({ runs: { watchRun: ended } });
    await withFolder(async (folder) => {
      const out = await writeRunFolder(join(folder, "out"));
      const flags = ["--address", pool.address, "--to", join(folder, "two.svg"), "--json"];
      const { code, stdout, stderr } = await plot("run-1", out, "run-1", ...flags);
      assert.equal(code, 0, stderr);
      const { runs } = JSON.parse(stdout) as { runs: unknown[] };
      assert.deepEqual(runs, [
        { name: "run-1", run_id: "run-1", steps: 40 },
        { name: "out", run_id: "run-1", steps: 3 },
      ]);
      const svg = await assertPicture(join(folder, "two.svg"), "svg");
      for (const text of ["2 runs", "run-1", "out"]) assert.ok(svg.includes(`>${text}</text>`), text);
    });
  });

  test("plots an unfinished run so far, and does not wait", async () => {
    const going = async function* (): AsyncGenerator<WatchRunResponse> {
      yield { update: { $case: "run", value: runOf({ state: RunState.RUN_STATE_RUNNING, step: 3 }) } };
      for (let step = 1; step <= 3; step++) yield { update: { $case: "step", value: stepOf(step) } };
      await new Promise(() => {});
    };
    await using pool = await startFakePool({ runs: { watchRun: going } });
    await withFolder(async (folder) => {
      const { code, stderr } = await plot("run-1", "--address", pool.address, "--to", join(folder, "x.svg"));
      assert.equal(code, 0, stderr);
      assert.match(await assertPicture(join(folder, "x.svg"), "svg"), />3 steps, loss/);
    });
  });

  test("refuses what cannot be drawn, in one line", async () => {
    await withFolder(async (folder) => {
      const out = await writeRunFolder(join(folder, "out"));
      await writeFile(join(folder, "file"), "");
      const broken = join(folder, "broken");
      await mkdir(broken);
      await writeFile(join(broken, "metrics.json"), '{"run_id": 3}');
      const none = await writeRunFolder(join(folder, "none"), { losses: [] });
      const many = Array.from({ length: 19 }, (_, i) => `run-${i}`);
      const refused: [argv: string[], code: number, line: RegExp][] = [
        [[folder, "--to", folder], 1, /has neither metrics\.json nor a checkpoint; name the folder/],
        [["no/such", "--to", folder], 1, /no\/such is not a folder; name an output folder or a run's id/],
        [[broken], 1, /broken cannot be used: metrics\.json is wrong at run_id: .*; name another folder/],
        [[none], 1, /run none has no steps yet; /],
        [[out, "--to", join(folder, "a.png"), "--format", "svg"], 2, /ends in png, but --format is svg/],
        [[out, "--to", join(folder, "a.png"), "--what", "all"], 2, /is one file for 3 plots; give a folder/],
        [[out, "--to", ""], 2, /--to is empty/],
        [[out, "--to", join(folder, "file/x.png")], 1, /cannot be written \((ENOTDIR|EEXIST)\); choose another --to/],
        [[out, "--what", "los"], 2, /--what must be one of loss, learning_rate, throughput, all, not "los"/],
        [many, 2, /19 runs are too many for one picture; name at most 18/],
        [[], 2, /missing required argument 'run'/],
        [["run-1", ...NO_POOL], 1, /the coordinator at 127\.0\.0\.1:1 is away|no pool answers/],
      ];
      for (const [argv, code, line] of refused) {
        const result = await plot(...argv);
        assert.match(result.stderr, line);
        assert.equal(result.code, code, argv.join(" "));
        assert.equal(result.stdout, "");
      }
    });
  });
});
