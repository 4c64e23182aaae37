/** A disk that is full or no longer writable: runs wait, say why, and resume when there is space. */
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { RunState, type Run } from "@gradpool/rpc";
import { fingerprint, smallDisk, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";

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

test("a full disk in the middle of a run", { timeout: 300_000 }, (t) =>
  withSmallDisk(t, 16 << 10, async (_disk, folder, workspace) => {
    const dataset = await workspace.dataset(60);
    const recipe = { saveEvery: 2, keepLastNCheckpoints: 2 };
    await using stack = await Stack.start({ trainers: 1, recoverySeconds: 0.2 });
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
