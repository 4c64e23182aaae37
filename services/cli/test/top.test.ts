/** The parts of `gradpool top` that need no terminal. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RunState, TrainerState, type GetPoolResponse, type Run } from "@gradpool/rpc";
import { frame } from "../src/top/frame.js";
import { keysOf } from "../src/top/key.js";
import { RunSeries } from "../src/top/run-series.js";
import { curve, sparkline } from "../src/top/sparkline.js";
import { fit, render, span, widthOf } from "../src/top/styled-text.js";
import { firstState, pressed, seen, type TopState, type Wish } from "../src/top/top-state.js";
import { completed, runOf, startFakePool, stepOf, trainerOf } from "./fake-pool.js";
import { run } from "./support.js";

const POOL: GetPoolResponse = {
  services: [
    { name: "coordinator", address: "a:1", serving: true, problem: "", startedAt: new Date(0) },
    { name: "tokenizer", address: "a:2", serving: false, problem: "nobody listens", startedAt: undefined },
  ],
  trainers: [
    trainerOf({ trainerId: "trainer-2", state: TrainerState.TRAINER_STATE_DRAINING }),
    trainerOf({ runId: "run-1", deviceUse: 0.82 }),
  ],
  activeRuns: 1,
  pausedRuns: 0,
};

const RUNS = [completed(), runOf({ runId: "run-2", step: 10, lastStep: stepOf(10) }), runOf({ runId: "run-3" })];

const shown = (runs: readonly Run[] = RUNS) => seen(firstState("a:1"), POOL, runs);

const drawn = (state: TopState, columns: number, rows: number, hasColor = false) =>
  frame(state, () => undefined, { columns, rows }).map((line) => render(line, columns, hasColor));

function after(state: TopState, ...keys: string[]): { state: TopState; wishes: Wish[] } {
  const wishes: Wish[] = [];
  let now = state;
  for (const key of keys) {
    const { state: next, wish } = pressed(now, key);
    now = next;
    if (wish) wishes.push(wish);
  }
  return { state: now, wishes };
}

describe("keys", () => {
  test("come alone, several at once, and unknown ones not at all", () => {
    assert.deepEqual(keysOf("\x1b[A\x1bOBp\r\t"), ["up", "down", "p", "enter", "tab"]);
    assert.deepEqual([keysOf("\x1b"), keysOf("\x03"), keysOf("q")], [["escape"], ["quit"], ["quit"]]);
    assert.deepEqual(keysOf("\x1b[15~\x1b[200~\x00\x1b[1;5C"), []);
  });
});

describe("curves", () => {
  test("go from the lowest bar to the highest, and flat ones are in the middle", () => {
    assert.equal(sparkline([1, 2, 3, 4, 5, 6, 7, 8], 8), "▁▂▃▄▅▆▇█");
    assert.equal(sparkline([3, 3, 3], 8), "▅▅▅");
    assert.equal(sparkline([0, 0, 8, 8], 2), "▁█");
    assert.equal(sparkline([], 8), "");
    assert.equal(sparkline([NaN, 1, 2], 8), "▁█");
  });

  test("of dots are connected", () => {
    assert.deepEqual(curve([0, 3], 1, 1), ["⡸"]);
    assert.deepEqual(curve([], 2, 1), ["⠀⠀"]);
  });

  test("keep a whole run in few points", () => {
    const series = new RunSeries();
    for (let step = 1; step <= 100_000; step++) series.add({ $case: "step", value: { ...stepOf(step), loss: step } });
    assert.ok(series.loss.length <= 1024, String(series.loss.length));
    assert.ok((series.loss[0] ?? 0) < 200);
    assert.ok((series.loss.at(-1) ?? 0) > 99_800);
    series.add({ $case: "step", value: stepOf(5) });
    assert.equal(series.lastStep?.step, 100_000);
    assert.equal(Math.round(series.secondsLeft(100_100) ?? 0), 10);
  });

  test("of checkpoints that come and go", () => {
    const series = new RunSeries();
    const checkpoint = { path: "/c", step: 5, epoch: 0, removed: false };
    series.add({ $case: "checkpoint", value: checkpoint });
    assert.equal(series.checkpoints.length, 1);
    series.add({ $case: "checkpoint", value: { ...checkpoint, removed: true } });
    assert.deepEqual(series.checkpoints, []);
  });
});

describe("text", () => {
  test("fits exactly, wide characters too", () => {
    assert.deepEqual([fit("abc", 5), fit("abc", 5, "right"), fit("abcdef", 4)], ["abc  ", "  abc", "abc…"]);
    for (const text of ["漢字漢字", "a漢字", "e\u0301e\u0301e\u0301", "🚀🚀🚀"])
      assert.equal(widthOf(fit(text, 4)), 4, text);
    assert.equal(fit("abc", 0), "");
  });

  test("of others cannot speak to the terminal", () => {
    const line = [span("run\x1b[2J\x07\u009b31m\u202e\r\nx")];
    assert.equal(render(line, 80, true), "run\\x1b[2J\\x07\\x9b31m\\u202e\\r\\nx");
  });

  test("has colour only where it may", () => {
    assert.equal(render([span("x", "bad")], 80, true), "\x1b[31mx\x1b[0m");
    assert.equal(render([span("x", "bad")], 80, false), "x");
  });
});

describe("the frame", () => {
  test("fills any terminal exactly, however small, and whatever names are", () => {
    const hostile = runOf({ runId: "run-\x1b]0;x\x07漢".repeat(9), notes: Array(50).fill("n".repeat(500)) });
    for (const [columns, rows] of [
      [80, 24],
      [200, 60],
      [40, 10],
      [10, 3],
      [1, 1],
    ] as const) {
      for (const state of [shown(), shown([]), shown([hostile, ...RUNS]), firstState("a:1")]) {
        for (const keys of [[], ["enter"], ["tab"], ["c"]]) {
          const lines = drawn(after(state, ...keys).state, columns, rows);
          assert.equal(lines.length, rows);
          for (const line of lines) assert.ok(widthOf(line) <= columns, line);
          assert.doesNotMatch(lines.join(""), /[\x00-\x1f]/);
        }
      }
    }
  });

  test("at 80 x 24 shows services, trainers with their use, and runs, those at work first", () => {
    const text = drawn(shown(), 80, 24).join("\n");
    assert.match(text, /^1 of 2 services serving · 2 trainers · 1 active run, 0 paused$/m);
    assert.match(text, /^tokenizer is not serving: nobody listens$/m);
    assert.match(text, /^ {2}trainer-1 cpu +████████░░ +82 % +500 tok\/s +1\.0 GB +run-1$/m);
    assert.match(text, /^ {2}trainer-2 .* draining$/m);
    assert.match(text, /^▸ run-2 +running +██░░░░░░ +25 % +2\.9000 .*\n {2}run-3 +running .*\n {2}run-1 +completed/m);
    assert.match(text, /q quit .* c cancel$/);
  });

  test("shows names of devices in full", () => {
    const trainers = [trainerOf(), trainerOf({ trainerId: "trainer-2", device: "webgpu:0" })];
    const text = drawn(seen(firstState("a:1"), { ...POOL, trainers }, []), 80, 24).join("\n");
    assert.match(text, /^. trainer-1 cpu {6}█/m);
    assert.match(text, /^. trainer-2 webgpu:0 █/m);
  });

  test("shows runs by their names, and says which run the selected one is", () => {
    const spec = { ...runOf().spec!, runName: "learning rate 5e-5, cosine, again", tags: ["team-a", "lr"] };
    const state = shown([runOf({ runId: "run-2", spec }), runOf({ runId: "run-3" })]);
    const text = drawn(state, 80, 24).join("\n");
    assert.match(text, /^▸ learning rate 5e-5, … running +░/m);
    assert.match(text, /^ {2}run-3 +running +░/m);
    assert.match(text, /^learning rate 5e-5, cosine, again run-2 · step 0 of 40 · \/m$/m);
    assert.match(drawn(state, 140, 24).join("\n"), /^▸ learning rate 5e-5, cosine, again running +░/m);
    const detail = drawn(after(state, "enter").state, 80, 24).join("\n");
    assert.match(detail, /^learning rate 5e-5, cosine, again {2}run-2 {2}running$/m);
    assert.match(detail, /^tags +team-a, lr$/m);
    const asked = after(state, "c").state;
    assert.match(drawn(asked, 80, 24).at(-1) ?? "", /^cancel learning rate 5e-5, cosine, again \(run-2\)\?/);
  });

  test("scrolls with the selection", () => {
    const many = Array.from({ length: 100 }, (_, i) => runOf({ runId: `run-${i}` }));
    const { state } = after(shown(many), ...Array<string>(60).fill("down"));
    const text = drawn(state, 80, 24).join("\n");
    assert.match(text, /^▸ run-60 /m);
    assert.doesNotMatch(text, /run-0 /);
  });
});

describe("keys do", () => {
  test("pause and resume the selected run", () => {
    assert.deepEqual(after(shown(), "p", "down", "r").wishes, [
      { type: "run", action: "pause", id: "run-2" },
      { type: "run", action: "resume", id: "run-3" },
    ]);
  });

  test("cancel only after a yes, and that run, whatever is selected meanwhile", () => {
    assert.deepEqual(after(shown(), "c", "n", "y").wishes, []);
    assert.deepEqual(after(shown(), "c", "down", "y").wishes, []);
    const asked = after(shown(), "c").state;
    assert.match(drawn(asked, 80, 24).at(-1) ?? "", /^cancel run-2\?.* y: yes/);
    const newer = seen(asked, POOL, [runOf({ runId: "run-4" }), ...RUNS]);
    assert.deepEqual(after(newer, "y").wishes, [{ type: "run", action: "cancel", id: "run-2" }]);
  });

  test("do nothing to runs that have ended, and say so", () => {
    const { state, wishes } = after(shown([completed()]), "c");
    assert.deepEqual(wishes, []);
    assert.match(state.message, /run-1 has ended/);
  });

  test("drain a trainer, and undrain one that is draining", () => {
    assert.deepEqual(after(shown(), "tab", "d", "down", "d").wishes, [
      { type: "trainer", action: "drain", id: "trainer-1" },
      { type: "trainer", action: "undrain", id: "trainer-2" },
    ]);
    assert.match(after(shown(), "d").state.message, /press tab/);
  });

  test("keep the selection on its run when others come", () => {
    const { state } = after(shown(), "down");
    assert.equal(seen(state, POOL, [runOf({ runId: "run-9" }), ...RUNS]).runId, "run-3");
  });

  test("open and close a run, and quit", () => {
    const { state } = after(shown(), "enter");
    assert.match(drawn(state, 80, 24).join("\n"), /^run-2 {2}running$[^]*^recipe +batch 2 × 4/m);
    assert.equal(after(state, "escape").state.isOpen, false);
    assert.deepEqual(after(state, "quit").wishes, [{ type: "quit" }]);
  });
});

describe("gradpool top", () => {
  test("--once prints runs with the steps they have made, and ends", { timeout: 60_000 }, async () => {
    await using server = await startFakePool({
      pool: { getPool: async () => POOL },
      runs: {
        listRuns: async () => ({
          runs: [runOf({ step: 3, lastStep: stepOf(3), state: RunState.RUN_STATE_RUNNING })],
          nextPageToken: "",
        }),
        async *watchRun(_, { signal }) {
          for (const step of [1, 2, 3]) yield { update: { $case: "step", value: stepOf(step) } };
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        },
      },
    });
    const { code, stdout, stderr } = await run(["top", "--once", "--address", server.address]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ {2}run-1 +running +█░+ +7 % +2\.9700 +200 tok\/s +0:00:04 +█.▁$/m);
    assert.match(stdout, /^tokens\/s +▅▅▅ 200 to 200$/m);
    assert.doesNotMatch(stdout, /\x1b|▸/);
  });

  test("--once shows the curves of a run that has ended, where there is no other", { timeout: 60_000 }, async () => {
    await using server = await startFakePool({
      pool: { getPool: async () => POOL },
      runs: {
        listRuns: async () => ({
          runs: [runOf({ step: 2, lastStep: stepOf(2), state: RunState.RUN_STATE_COMPLETED })],
          nextPageToken: "",
        }),
        async *watchRun() {
          for (const step of [1, 2]) yield { update: { $case: "step", value: stepOf(step) } };
        },
      },
    });
    const { stdout } = await run(["top", "--once", "--address", server.address]);
    assert.match(stdout, /^loss +█▁ 2\.980 to 2\.990$/m);
  });

  test("needs a terminal or --once, and --once a pool", { timeout: 60_000 }, async () => {
    const live = await run(["top"]);
    assert.deepEqual(
      [live.code, live.stderr],
      [2, "gradpool: gradpool top needs a terminal; use --once to print the view once\n"],
    );
    const once = await run(["top", "--once", "--address", "127.0.0.1:1"]);
    assert.equal(once.code, 1);
    assert.match(once.stderr, /no pool answers at 127\.0\.0\.1:1; start one/);
  });
});
