/** SIGTERM to each service during a run: it stops in order, nothing is computed twice, and the result is the same (I2). */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Run } from "@gradpool/rpc";
import { fingerprint, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";

const SERVICES = ["trainer", "coordinator", "data-stream", "tokenizer", "checkpoint-store", "coordinator"] as const;
const ACCUMULATION = 6;
const STEPS = 2 * (SERVICES.length + 1);
const BATCH = 2;

test("every service can be stopped and restarted during a run without losing work", { timeout: 300_000 }, async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(STEPS * ACCUMULATION * BATCH);
  // Trainers log each micro-batch that they pushed.
  const trainerEnv = { GRADPOOL_LOG_LEVEL: "debug" };
  const runStore = workspace.path("runs.sqlite");
  await using stack = await Stack.start({ trainers: 2, runStore, recoverySeconds: 1000, trainerEnv });
  const pushed = (run: Run) =>
    stack.trainerLines.filter(({ msg, runId }) => msg === "result pushed" && runId === run.runId);
  const spec = (name: string) => tinyRun(dataset, workspace.path(name), { gradientAccumulation: ACCUMULATION });

  const whole = await stack.train(spec("whole"));
  assert.equal(pushed(whole.run).length, STEPS * ACCUMULATION);

  const queue = [...SERVICES];
  const stopped: [string, number | null][] = [];
  const interrupted = await stack.train(spec("interrupted"), async ({ step }) => {
    const name = step % 2 === 0 ? queue.shift() : undefined;
    if (name) stopped.push([name, await stack.stopInOrder(name)]);
  });
  assert.deepEqual(
    stopped,
    SERVICES.map((name) => [name, 0]),
  );
  const results = pushed(interrupted.run);
  assert.equal(results.length, STEPS * ACCUMULATION, "micro-batches computed");
  assert.ok(results.every(({ accepted }) => accepted === true));
  assert.deepEqual(await fingerprint(workspace.path("interrupted")), await fingerprint(workspace.path("whole")));
});
