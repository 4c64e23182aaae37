/** A disk that is full or no longer writable: runs wait, say why, and resume when there is space. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { RunState, type Run } from "@gradpool/rpc";
import {
  FakeHub,
  fingerprint,
  gradpool,
  smallDisk,
  Stack,
  TINY_CODER,
  tinyRun,
  Workspace,
} from "@gradpool/integration-tests";

/** Follows a run until its state is as wanted. */
async function until(stack: Stack, runId: string, wanted: (run: Run) => boolean): Promise<Run> {
  for await (const { update } of stack.runs.watchRun({ runId, afterStep: 0 })) {
    if (update?.$case === "run" && wanted(update.value)) return update.value;
  }
  return assert.fail("the run ended before");
}

const isPaused = ({ state }: Run) => state === RunState.RUN_STATE_PAUSED;

async function withSmallDisk(
  t: TestContext,
  kib: number,
  work: (disk: NonNullable<ReturnType<typeof smallDisk>>, folder: string, workspace: Workspace) => Promise<void>,
): Promise<void> {
  await using workspace = await Workspace.create();
  const folder = workspace.path("disk");
  using disk = smallDisk(folder, kib);
  if (!disk) return t.skip("this user may not mount a file system");
  await work(disk, folder, workspace);
}

/** What is the first to be saved once the disk is full. */
const SAVES = {
  "a recovery point": { recoverySeconds: 0.2, recipe: {} },
  "a checkpoint": { recoverySeconds: 0, recipe: { saveEvery: 2, keepLastNCheckpoints: 2 } },
  "the result": { recoverySeconds: 0, recipe: {} },
};

for (const [what, { recoverySeconds, recipe }] of Object.entries(SAVES)) {
  test(`a disk without space for ${what}`, { timeout: 300_000 }, (t) =>
    withSmallDisk(t, 16 << 10, async (_disk, folder, workspace) => {
      const dataset = await workspace.dataset(60);
      await using stack = await Stack.start({ trainers: 1, recoverySeconds });
      await stack.train(tinyRun(dataset, workspace.path("whole"), recipe));

      const output = join(folder, "output");
      const ballast = join(folder, "ballast");
      const run = await stack.submit(tinyRun(dataset, output, recipe));
      let isFull = false;
      const watching = stack.watch(run.runId, async ({ step }) => {
        if (step !== 3 || isFull) return;
        isFull = true;
        await fill(ballast);
      });
      const paused = await until(stack, run.runId, isPaused);
      assert.match(paused.pausedBecause, /output_dir .* has no space left; free some .*; the run resumes by itself/);
      await rm(ballast);
      const finished = await watching;
      assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
      assert.equal(finished.run.pausedBecause, "");
      assert.deepEqual(await fingerprint(output), await fingerprint(workspace.path("whole")));
    }),
  );
}

test("a disk without space for the run store and the coordinator's log", { timeout: 300_000 }, (t) =>
  withSmallDisk(t, 16 << 10, async (_disk, folder, workspace) => {
    const dataset = await workspace.dataset(60);
    const coordinatorLog = join(folder, "coordinator.log");
    await using stack = await Stack.start({ trainers: 1, runStore: join(folder, "runs.sqlite"), coordinatorLog });
    await stack.train(tinyRun(dataset, workspace.path("whole")));
    const ballast = join(folder, "ballast");
    const { runId } = await stack.submit(tinyRun(dataset, workspace.path("output")));
    let isFull = false;
    const watching = stack.watch(runId, async ({ step }) => {
      if (step !== 3 || isFull) return;
      isFull = true;
      await fill(ballast);
      // I4: nothing is answered that is not recorded; what only reads is.
      const write = stack.runs.resumeRun({ requestId: randomUUID(), runId }, { timeoutMs: 3_000 });
      await assert.rejects(write, (error: unknown) => GradpoolError.from(error).code === "deadline_exceeded");
      assert.equal((await stack.runs.getRun({ runId })).run?.state, RunState.RUN_STATE_RUNNING);
      await rm(ballast);
    });
    const finished = await watching;
    assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
    assert.ok(isFull);
    assert.deepEqual(await fingerprint(workspace.path("output")), await fingerprint(workspace.path("whole")));
    // The same life: what it could not write is in its log by now.
    const log = await readFile(coordinatorLog, "utf8");
    assert.equal(log.match(/"msg":"ready"/g)?.length, 1);
    assert.match(log, /the run store cannot be written; all runs wait until it can/);
  }),
);

test("a file system that becomes read-only in the middle of a run", { timeout: 300_000 }, (t) =>
  withSmallDisk(t, 64 << 10, async (disk, folder, workspace) => {
    const dataset = await workspace.dataset(60);
    await using stack = await Stack.start({ trainers: 1, recoverySeconds: 0.2 });
    await stack.train(tinyRun(dataset, workspace.path("whole"), { saveEvery: 2 }));
    const output = join(folder, "output");
    const run = await stack.submit(tinyRun(dataset, output, { saveEvery: 2 }));
    let isReadOnly = false;
    const watching = stack.watch(run.runId, async ({ step }) => {
      if (step !== 3 || isReadOnly) return;
      isReadOnly = true;
      await disk.remount("ro");
    });
    const paused = await until(stack, run.runId, isPaused);
    assert.match(paused.pausedBecause, /read-only file system/);
    await disk.remount("rw");
    // It would try again on its own; resuming makes it try at once.
    await stack.runs.resumeRun({ requestId: "at once", runId: run.runId });
    const finished = await watching;
    assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
    assert.deepEqual(await fingerprint(output), await fingerprint(workspace.path("whole")));
  }),
);

test(
  "a disk without space for the hub's files: the run fails and says where, and nothing half there is used",
  {
    timeout: 300_000,
  },
  (t) =>
    withSmallDisk(t, 4 << 10, async (_disk, folder, workspace) => {
      await using hub = await FakeHub.start();
      await hub.create("model", "org/tiny").commit(TINY_CODER);
      const dataset = await workspace.dataset(8);
      const train = (cache: string) => {
        const flags = ["--model_id", "org/tiny", "--dataset", dataset, "--output_dir", workspace.path("output")];
        const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: cache };
        return gradpool(["train", ...flags, "--max_length", "32", "--max_steps", "1"], workspace.path("home"), env);
      };
      const full = await train(folder);
      assert.equal(full.code, 1);
      assert.match(full.stderr, /no space left in \S*disk\S*; free some, or set HF_HUB_CACHE to another folder\n$/);
      const elsewhere = await train(workspace.path("cache"));
      assert.equal(elsewhere.code, 0, elsewhere.stderr);
    }),
);

/** Takes all free space. */
async function fill(path: string): Promise<void> {
  for (let bytes = 1 << 20; bytes >= 1; bytes = Math.floor(bytes / 4)) {
    for (;;) {
      try {
        await writeFile(path, Buffer.alloc(bytes), { flag: "a" });
      } catch {
        break;
      }
    }
  }
}
