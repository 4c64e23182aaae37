/** Runs that pause, resume, wait and outlive their coordinator, as the command line shows them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { RunState, TrainerState, type RunSpec, type WatchRunResponse } from "@gradpool/rpc";
import { completed, runOf, startFakePool, stepOf, trainerOf, type FakeHandlers } from "./fake-pool.js";
import { assertHolds, REPOSITORY, run, TINY_CODER, type Finished } from "./support.js";

const TIMEOUT = { timeout: 60_000 };
const AWAY = new GradpoolError("unavailable", "the coordinator is stopping; try again later");

/** Runs a command on a pool of the given RPCs. */
async function on(handlers: FakeHandlers, ...argv: string[]): Promise<Finished> {
  await using pool = await startFakePool(handlers);
  return await run([...argv, "--address", pool.address]);
}

const update = {
  run: (...[given]: Parameters<typeof runOf>): WatchRunResponse => ({ update: { $case: "run", value: runOf(given) } }),
  step: (step: number): WatchRunResponse => ({ update: { $case: "step", value: stepOf(step) } }),
  completed: (): WatchRunResponse => ({ update: { $case: "run", value: completed() } }),
};

/** Watches a run of these updates. */
function watch(updates: WatchRunResponse[], ...flags: string[]): Promise<Finished> {
  const watchRun = async function* () {
    yield* updates;
  };
  return on({ runs: { watchRun } }, "run", "watch", "run-1", ...flags);
}

describe("a write", () => {
  const answers = {
    pause: runOf({ state: RunState.RUN_STATE_PAUSED, pausedBecause: "on request" }),
    resume: runOf(),
    cancel: runOf({ state: RunState.RUN_STATE_CANCELLED }),
    drain: trainerOf({ state: TrainerState.TRAINER_STATE_DRAINING }),
    undrain: trainerOf(),
  };

  /** Every write, counted by its request_id; the first `lost` answers are not given. */
  function writes(lost: number, error = AWAY): { handlers: FakeHandlers; requestIds: string[] } {
    const requestIds: string[] = [];
    const write =
      <T>(answer: T) =>
      async ({ requestId }: { requestId: string }): Promise<T> => {
        requestIds.push(requestId);
        if (requestIds.length <= lost) throw error;
        return answer;
      };
    const handlers: FakeHandlers = {
      runs: {
        submitRun: write({ run: runOf() }),
        pauseRun: write({ run: answers.pause }),
        resumeRun: write({ run: answers.resume }),
        cancelRun: write({ run: answers.cancel }),
      },
      pool: { drainTrainer: write({ trainer: answers.drain }), undrainTrainer: write({ trainer: answers.undrain }) },
    };
    return { handlers, requestIds };
  }

  const COMMANDS: [argv: string[], said: RegExp][] = [
    [["run", "submit", "--model_id", TINY_CODER, "--dataset", "synthetic"], /^run-1\n$/],
    [["run", "pause", "run-1"], /^run run-1 is paused\n$/],
    [["run", "resume", "run-1"], /^run run-1 is running\n$/],
    [["run", "cancel", "run-1"], /^run run-1 is cancelled\n$/],
    [["trainer", "drain", "trainer-1"], /^trainer trainer-1 is draining\n$/],
    [["trainer", "undrain", "trainer-1"], /^trainer trainer-1 is active\n$/],
  ];

  for (const [argv, said] of COMMANDS) {
    test(
      `I4: ${argv.slice(0, 2).join(" ")} is sent again under one request_id until it is answered`,
      TIMEOUT,
      async () => {
        for (const error of [AWAY, new GradpoolError("deadline_exceeded", "too slow")]) {
          const { handlers, requestIds } = writes(2, error);
          const { code, stdout, stderr } = await on(handlers, ...argv);
          assert.equal(code, 0, stderr);
          assert.match(stdout, said);
          assert.match(stderr, /^the coordinator at \S+ does not answer; waiting for it\n$/);
          assert.equal(requestIds.length, 3);
          assert.equal(new Set(requestIds).size, 1);
          assert.match(requestIds[0] ?? "", /^[0-9a-f-]{36}$/);
        }
      },
    );
  }

  test("that is refused is not sent again", TIMEOUT, async () => {
    const refusal = new GradpoolError("failed_precondition", "run run-1 has completed; there is nothing to pause");
    const { handlers, requestIds } = writes(1, refusal);
    const { code, stderr } = await on(handlers, "run", "pause", "run-1");
    assert.equal(code, 1);
    assert.equal(stderr, `gradpool: ${refusal.message}\n`);
    assert.equal(requestIds.length, 1);
  });

  test("is given up when the coordinator stays away", TIMEOUT, async () => {
    const { handlers, requestIds } = writes(Infinity);
    const { code, stderr } = await on(handlers, "run", "pause", "run-1");
    assert.equal(code, 1);
    assert.match(stderr, /^the coordinator .*\ngradpool: no pool answers at \S+; start one with gradpool up, .*\n$/);
    assert.ok(requestIds.length > 2);
  });

  test("shows what came of it, also as JSON", TIMEOUT, async () => {
    const paused = JSON.parse((await on(writes(0).handlers, "run", "pause", "run-1", "--json")).stdout) as object;
    assertHolds(paused, { run_id: "run-1", state: "paused", paused_because: "on request" });
    const drained = JSON.parse((await on(writes(0).handlers, "trainer", "drain", "x", "--json")).stdout) as object;
    assertHolds(drained, { trainer_id: "trainer-1", state: "draining" });
  });
});

describe("the rows of a run", () => {
  const counts = { rows: 600, rowsCut: 36, rowsWithoutEos: 30, rowsWithoutTarget: 1, stepsWithoutTarget: 2 };
  const lines = [
    "36 of 600 rows were longer than --max_length 128 and were cut, which removed the end-of-sequence token of 30",
    "1 of 600 rows had no target: nothing in it counted in the loss",
    "2 steps were left out, since no row in them had a target",
  ];

  test("are said at its end", TIMEOUT, async () => {
    const ended = completed();
    const done: WatchRunResponse = { update: { $case: "run", value: { ...ended, rowCounts: counts } } };
    const { code, stdout, stderr } = await watch([update.run(), done]);
    assert.equal(code, 0, stderr);
    assert.deepEqual(stdout.trimEnd().split("\n").slice(-3), lines);
    const failed = { ...ended, state: RunState.RUN_STATE_FAILED, error: { code: "invalid_argument", message: "no" } };
    const value = { ...failed, rowCounts: { ...counts, rowsCut: 0, stepsWithoutTarget: 0 } };
    const end = await watch([{ update: { $case: "run", value } }]);
    assert.deepEqual([end.code, end.stdout.trimEnd().split("\n").at(-1), end.stderr], [1, lines[1], "gradpool: no\n"]);
  });

  test("are in run get, also as JSON", TIMEOUT, async () => {
    const get = (rowCounts: typeof counts, ...flags: string[]) =>
      on({ runs: { getRun: async () => ({ run: runOf({ rowCounts }) }) } }, "run", "get", "run-1", ...flags);
    const { stdout } = await get(counts);
    const said = stdout.split("\n").flatMap((line) => (line.startsWith("rows  ") ? [line.slice(4).trim()] : []));
    assert.deepEqual(said, ["trained on 600 rows, counted in every epoch", ...lines]);
    const json = JSON.parse((await get(counts, "--output", "json")).stdout) as object;
    assertHolds(json, {
      row_counts: { rows: 600, rows_cut: 36, rows_without_eos: 30, rows_without_target: 1, steps_without_target: 2 },
    });
    const none = { rows: 0, rowsCut: 0, rowsWithoutEos: 0, rowsWithoutTarget: 0, stepsWithoutTarget: 0 };
    assert.doesNotMatch((await get(none)).stdout, /^rows /m);
  });
});

describe("run watch", () => {
  test(
    "continues after the last step when the coordinator comes back, and reports each outage once",
    TIMEOUT,
    async () => {
      const asked: number[] = [];
      const watchRun = async function* ({ afterStep }: { afterStep: number }) {
        asked.push(afterStep);
        // Lost before the first step, then after the second, for several attempts each time.
        if ([2, 3, 5, 6].includes(asked.length)) throw AWAY;
        yield update.run();
        if (asked.length === 1) throw AWAY;
        if (asked.length === 4) {
          yield update.step(1);
          yield update.step(2);
          throw AWAY;
        }
        for (let step = afterStep + 1; step <= 40; step++) yield update.step(step);
        yield update.completed();
      };
      const { code, stdout, stderr } = await on({ runs: { watchRun } }, "run", "watch", "run-1", "--json");
      assert.equal(code, 0, stderr);
      const events = stdout.split("\n").filter((line) => line.includes('"event":"step"'));
      assert.equal(events.length, 40);
      assert.deepEqual(asked, [0, 0, 0, 0, 2, 2, 2]);
      assert.match(stderr, /^(the coordinator at \S+ does not answer; waiting for it\n){2}$/);
    },
  );

  test("waits for a coordinator that starts again at the same address", TIMEOUT, async () => {
    const cut = new AbortController();
    const first = await startFakePool({
      runs: {
        async *watchRun() {
          yield update.run();
          yield update.step(1);
          cut.abort();
          await new Promise(() => {});
        },
      },
    });
    const watching = run(["run", "watch", "run-1", "--address", first.address]);
    await new Promise((resolve) => cut.signal.addEventListener("abort", resolve));
    await first[Symbol.asyncDispose]();
    let afterStep = -1;
    await using _second = await startFakePool(
      {
        runs: {
          async *watchRun(request) {
            ({ afterStep } = request);
            yield update.run();
            yield update.step(2);
            yield update.completed();
          },
        },
      },
      first.address,
    );
    const { code, stdout, stderr } = await watching;
    assert.equal(code, 0, stderr);
    assert.equal(afterStep, 1);
    assert.match(stdout, /^done in 0:00:08: 40 steps/m);
    assert.equal(stderr.match(/does not answer; waiting for it/g)?.length, 1);
  });

  test("does not take the end of the stream for the end of the run", TIMEOUT, async () => {
    let calls = 0;
    const watchRun = async function* () {
      calls += 1;
      yield calls === 1 ? update.run() : update.completed();
    };
    const { code, stderr } = await on({ runs: { watchRun } }, "run", "watch", "run-1");
    assert.equal(code, 0, stderr);
    assert.equal(calls, 2);
  });

  test("says what a run resumed from, and each note once", TIMEOUT, async () => {
    const resumedFrom = { path: "/out/checkpoint-epoch0-step10", epoch: 0, step: 10, weightsOnly: false };
    const notes = ["checkpoint-epoch0-step20 is damaged: passed over"];
    const more = [...notes, "a second note"];
    const updates = [
      update.run({ resumedFrom, notes, totalSteps: 0, state: RunState.RUN_STATE_PREPARING }),
      update.run({ resumedFrom, notes }),
      update.run({ resumedFrom, notes: more }),
      update.completed(),
    ];
    const { stdout } = await watch(updates);
    const lines = stdout.split("\n");
    assert.equal(lines.filter((line) => line === notes[0]).length, 1);
    assert.equal(lines.filter((line) => line === "a second note").length, 1);
    assert.equal(lines.filter((line) => /^resumed/.test(line)).length, 1);
    assert.ok(lines.includes("resumed from checkpoint-epoch0-step10: epoch 0, step 10 of 40"));
    const weights = await watch([
      update.run({ resumedFrom: { ...resumedFrom, weightsOnly: true } }),
      update.completed(),
    ]);
    assert.match(weights.stdout, /^adapter taken from checkpoint-epoch0-step10 \(epoch 0, step 10\): /m);
  });

  test("says why a run makes no steps", TIMEOUT, async () => {
    const paused = { state: RunState.RUN_STATE_PAUSED, pausedBecause: "/out is full: free some space" };
    const { stderr } = await watch([
      update.run({ waitingFor: "a trainer: none is available" }),
      update.run({ waitingFor: "a trainer: none is available" }),
      update.run(),
      update.run(paused),
      update.completed(),
    ]);
    assert.equal(stderr, "waiting for a trainer: none is available\npaused: /out is full: free some space\n");
  });
});

test("run list and run get show why a run waits, where it began and what is to be known", TIMEOUT, async () => {
  const shown = runOf({
    state: RunState.RUN_STATE_PAUSED,
    pausedBecause: "on request",
    resumedFrom: { path: "/out/checkpoint-epoch1-step30", epoch: 1, step: 30, weightsOnly: false },
    notes: ["one", "two"],
  });
  const waiting = runOf({ runId: "run-2", waitingFor: "the tokenizer" });
  const runs = {
    listRuns: async () => ({ runs: [shown, waiting], nextPageToken: "" }),
    getRun: async () => ({ run: shown }),
  };
  const list = (await on({ runs }, "run", "list")).stdout;
  assert.match(list, /^run-1 +paused .* paused: on request; resumed from checkpoint-epoch1-step30: .*; one; two$/m);
  assert.match(list, /^run-2 +running .* waiting for the tokenizer$/m);
  const { stdout } = await on({ runs }, "run", "get", "run-1");
  assert.match(stdout, /^paused because +on request$/m);
  assert.match(stdout, /^start +resumed from checkpoint-epoch1-step30: epoch 1, step 30 of 40$/m);
  assert.match(stdout, /^note +one\nnote +two$/m);
  const [json] = JSON.parse((await on({ runs }, "run", "list", "--json")).stdout) as object[];
  assertHolds(json, {
    paused_because: "on request",
    resumed_from: { path: "/out/checkpoint-epoch1-step30", epoch: 1, step: 30, weights_only: false },
    notes: ["one", "two"],
  });
});

describe("--resume_from", () => {
  const FLAGS = ["run", "submit", "--model_id", TINY_CODER, "--dataset", "synthetic"];

  async function submitted(...flags: string[]): Promise<RunSpec> {
    let spec: RunSpec | undefined;
    const submitRun = async (request: { spec?: RunSpec | undefined }) => {
      spec = request.spec;
      return { run: runOf() };
    };
    const { code, stderr } = await on({ runs: { submitRun } }, ...FLAGS, ...flags);
    assert.equal(code, 0, stderr);
    assert.ok(spec);
    return spec;
  }

  test("is a folder, made absolute, or latest", TIMEOUT, async () => {
    const nothing = { resumeFrom: "", resumeIfExists: false, resumeWeightsOnly: false };
    assertHolds(await submitted(), nothing);
    assert.equal(
      (await submitted("--resume_from", "out/checkpoint-epoch0-step1")).resumeFrom,
      `${process.cwd()}/out/checkpoint-epoch0-step1`,
    );
    assertHolds(await submitted("--resume_from=latest", "--output_dir", REPOSITORY), {
      ...nothing,
      resumeFrom: "latest",
    });
    assertHolds(await submitted("--resume-from", "/a", "--resume-if-exists", "--resume-weights-only"), {
      resumeFrom: "/a",
      resumeIfExists: true,
      resumeWeightsOnly: true,
    });
  });
});
