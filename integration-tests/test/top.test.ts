/** gradpool top on a real pseudo-terminal, over a real pool. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RunState } from "@gradpool/rpc";
import { BIN, Stack, STACK_KEY, TerminalProgram, tinyRun, Workspace } from "../src/index.js";

const OPTIONS = {
  timeout: 240_000,
  skip: TerminalProgram.isPossible || process.env["CI"] ? false : "script, stty or tty is not there (util-linux)",
};

/** One run that lasts for the whole test, and `top` showing it. */
async function withTop(
  env: NodeJS.ProcessEnv,
  work: (top: TerminalProgram, stack: Stack, runId: string) => Promise<void>,
): Promise<void> {
  await using workspace = await Workspace.create();
  await using stack = await Stack.start({ trainers: 1, runStore: workspace.path("runs.sqlite"), recoverySeconds: 1 });
  const spec = tinyRun(await workspace.dataset(400), workspace.path("out"), { epochs: 1000 });
  const { runId } = await stack.submit(spec);
  await using top = new TerminalProgram([process.execPath, BIN, "top", "--address", stack.address], {
    ...{ columns: 80, rows: 24, env: { ...env, GRADPOOL_KEY: STACK_KEY.reveal() }, nameFile: workspace.path("tty") },
  });
  await work(top, stack, runId);
}

const stateOf = async (stack: Stack, runId: string) => (await stack.runs.getRun({ runId })).run?.state;

describe("gradpool top", () => {
  test("shows a pool, controls runs and trainers, and restores the terminal", OPTIONS, async () => {
    await withTop({}, async (top, stack, runId) => {
      await top.shows(/^4 of 4 services serving · 1 trainer · 1 active run, 0 paused$/m);
      await top.shows(new RegExp(`^▸ ${runId} +running +.* \\d+\\.\\d{4} .*tok/s +\\d+:\\d\\d:\\d\\d$`, "m"));
      await top.shows(/^loss +[▁▂▃▄▅▆▇█]{3,}\s+\d\.\d{3} to /m);
      await top.shows(/^ {2}\S+ +cpu +[█░]{10} +[1-9]\d* % +\S+ tok\/s/m);
      assert.equal(top.screen.isAlternate, true);
      assert.equal(top.screen.hasCursor, false);
      assert.ok(top.screen.cells.flat().some(({ rendition }) => rendition === "32"));

      top.press("p");
      await top.shows(/^▸ \S+ +paused /m);
      assert.equal(await stateOf(stack, runId), RunState.RUN_STATE_PAUSED);
      top.press("r");
      await top.shows(/^▸ \S+ +running /m);

      top.press("\r");
      await top.shows(/^recipe +batch 2 × 4, length 64, r 8, 1,000 epochs$/m);
      await top.shows(/\d\.\d{3} [\u2800-\u28ff]+/);
      top.press("\x1b[D");
      await top.shows(/^RUNS$/m);

      top.press("\td");
      await top.shows(/^▸ .* draining$/m);
      top.press("d");
      await top.shows(/^▸ .* (active|run-\S+)$/m);

      top.press("\tc");
      await top.shows(new RegExp(`^cancel ${runId}\\?`, "m"));
      top.press("n");
      await top.shows(/^q quit/m);
      assert.equal(await stateOf(stack, runId), RunState.RUN_STATE_RUNNING);
      top.press("cy");
      await top.shows(/^▸ \S+ +cancelled /m);
      assert.equal(await stateOf(stack, runId), RunState.RUN_STATE_CANCELLED);

      top.press("q");
      assert.equal(await top.ended, 0);
      assert.deepEqual([top.screen.isAlternate, top.screen.hasCursor, top.screen.strange], [false, true, []]);
    });
  });

  test(
    "follows the terminal's size, survives the death of the coordinator, and has no colour with NO_COLOR",
    OPTIONS,
    async () => {
      await withTop({ NO_COLOR: "1" }, async (top, stack) => {
        await top.shows(/^▸ \S+ +running /m);
        top.resize(132, 40);
        await top.shows(/^▸ \S+ +running .* [▁▂▃▄▅▆▇█]{4,}$/m);
        assert.match(top.screen.lines[39] ?? "", /^q quit/);
        top.resize(60, 12);
        await top.shows(/^RUNS$/m);
        await top.shows(/^q quit/m);
        assert.match(top.screen.lines[11] ?? "", /^q quit/);
        top.resize(80, 24);

        const before = Number((await top.shows(/^\S+ step (\d+) of /m))[1]);
        await stack.restartCoordinator(async () => void (await top.shows(/no pool answers at /)));
        await top.shows(/^4 of 4 services serving · 1 trainer · 1 active run/m);
        await top.shows(/^\S+ step (\d+) of /m, ([, step]) => Number(step) > before);
        assert.doesNotMatch(top.screen.lines[0] ?? "", /no pool answers/);

        assert.doesNotMatch(top.output, /\x1b\[\d+m/);
        top.press("\x03");
        assert.equal(await top.ended, 0);
        assert.deepEqual([top.screen.isAlternate, top.screen.hasCursor, top.screen.strange], [false, true, []]);
      });
    },
  );
});
