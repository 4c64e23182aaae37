/** A disk that is really full, and one that is read-only: typed errors, nothing half-written, and it works again. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { Workspace } from "@gradpool/integration-tests";
import { checkpointFiles, StoreProcess } from "../src/store-process.js";

const TIMEOUT = { timeout: 120_000 };
const DISK_BYTES = 4 << 20;

const mount = (...args: string[]) => spawnSync("mount", args, { encoding: "utf8" });

/** A file system of DISK_BYTES, gone with the test; undefined where none can be mounted, and the test is skipped. */
function smallDisk(t: TestContext, folder: string): string | undefined {
  mkdirSync(folder);
  const { error, status, stderr } = mount("-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tmpfs", folder);
  if (error || status !== 0) {
    t.skip(`no file system can be mounted here: ${error?.message ?? stderr.trim()}`);
    return undefined;
  }
  return folder;
}

const unmount = (folder: string) => spawnSync("umount", [folder]);

function refused(code: string, text: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Error && "code" in error);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
}

function save(store: StoreProcess, outputDir: string, name: string, step: number) {
  return store.save({ outputDir, runId: "run-1", name, step }, checkpointFiles(step));
}

const plain = (step: number) => `checkpoint-epoch0-step${step}`;

test("a full disk: what is there stays, nothing half-written is left, and there is room again", TIMEOUT, async (t) => {
  await using workspace = await Workspace.create();
  const disk = smallDisk(t, workspace.path("disk"));
  if (!disk) return;
  try {
    await using store = await StoreProcess.start();
    const outputDir = `${disk}/out`;
    await save(store, outputDir, plain(1), 1);
    // So that the disk is full in the middle of the adapter, then before the first byte.
    for (const freeBytes of [600_000, 0]) {
      fill(`${disk}/filler`, freeBytes);
      const full = refused("resource_exhausted", /^output_dir \S+ has no space left; free some or choose another/);
      await assert.rejects(save(store, outputDir, plain(2), 2), full);
      await assert.rejects(save(store, outputDir, ".recovery-epoch0-step2", 2), full);
      await assert.rejects(save(store, outputDir, "", 2), full);
      assert.deepEqual(readdirSync(outputDir), [plain(1)], `${freeBytes} bytes free`);
      assert.deepEqual((await store.load(outputDir)).files, checkpointFiles(1));
      assert.equal((await store.client.verify({ outputDir, name: "" })).checkpoints[0]?.damage, "");
      rmSync(`${disk}/filler`);
    }
    await save(store, outputDir, plain(2), 2);
    assert.deepEqual(await store.load(outputDir), { name: plain(2), files: checkpointFiles(2) });
    assert.deepEqual(readdirSync(outputDir).sort(), [plain(1), plain(2)]);
  } finally {
    unmount(disk);
  }
});

/** Fills the disk but for about `freeBytes`. */
function fill(path: string, freeBytes: number): void {
  try {
    writeFileSync(path, new Uint8Array(DISK_BYTES));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
  }
  if (freeBytes > 0) spawnSync("truncate", ["--size", `-${freeBytes}`, path]);
}

test(
  "a read-only disk: saving is refused, loading goes on, and saving works when it is writable",
  TIMEOUT,
  async (t) => {
    await using workspace = await Workspace.create();
    const disk = smallDisk(t, workspace.path("disk"));
    if (!disk) return;
    try {
      await using store = await StoreProcess.start();
      const outputDir = `${disk}/out`;
      await save(store, outputDir, plain(1), 1);
      assert.equal(mount("-o", "remount,ro", disk).status, 0);
      const refusal = refused("permission_denied", /^output_dir \S+ lies on a read-only file system; choose another/);
      await assert.rejects(save(store, outputDir, plain(2), 2), refusal);
      await assert.rejects(store.client.claim({ outputDir, runId: "run-1" }), refusal);
      await assert.rejects(store.client.delete({ outputDir, name: plain(1), requestId: "request-1" }), refusal);
      await assert.rejects(save(store, `${disk}/new`, plain(2), 2), refusal);
      assert.deepEqual(await store.load(outputDir), { name: plain(1), files: checkpointFiles(1) });
      assert.equal((await store.client.verify({ outputDir, name: "" })).checkpoints[0]?.damage, "");
      assert.deepEqual(readdirSync(outputDir), [plain(1)]);
      assert.equal(mount("-o", "remount,rw", disk).status, 0);
      await save(store, outputDir, plain(2), 2);
      assert.equal((await store.load(outputDir)).name, plain(2));
    } finally {
      unmount(disk);
    }
  },
);
