/**
 * A disk that is really full, and one that is read-only: typed errors, nothing half-written, and recovery afterwards.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { smallDisk, Workspace } from "@gradpool/integration-tests";
import { checkpointFiles, StoreProcess } from "../src/store-process.js";

const TIMEOUT = { timeout: 120_000 };
const DISK_KIB = 4 << 10;
const NOT_ALLOWED = "this user may not mount a file system";

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

test("a full disk: existing files stay, nothing half-written is left, and the space is freed", TIMEOUT, async (t) => {
  await using workspace = await Workspace.create();
  const folder = workspace.path("disk");
  using disk = smallDisk(folder, DISK_KIB);
  if (!disk) return t.skip(NOT_ALLOWED);
  await using store = await StoreProcess.start();
  const outputDir = `${folder}/out`;
  await save(store, outputDir, plain(1), 1);
  // The disk is full in the middle of the adapter, then before the first byte.
  for (const freeBytes of [600_000, 0]) {
    fill(`${folder}/filler`, freeBytes);
    const full = refused("resource_exhausted", /^output_dir \S+ has no space left; free some space or choose another/);
    await assert.rejects(save(store, outputDir, plain(2), 2), full);
    await assert.rejects(save(store, outputDir, ".recovery-epoch0-step2", 2), full);
    await assert.rejects(save(store, outputDir, "", 2), full);
    assert.deepEqual(readdirSync(outputDir), [plain(1)], `${freeBytes} bytes free`);
    assert.deepEqual((await store.load(outputDir)).files, checkpointFiles(1));
    assert.equal((await store.client.verify({ outputDir, name: "" })).checkpoints[0]?.damage, "");
    rmSync(`${folder}/filler`);
  }
  await save(store, outputDir, plain(2), 2);
  assert.deepEqual(await store.load(outputDir), { name: plain(2), files: checkpointFiles(2) });
  assert.deepEqual(readdirSync(outputDir).sort(), [plain(1), plain(2)]);
});

/** Fills the disk except for about `freeBytes`. */
function fill(path: string, freeBytes: number): void {
  try {
    writeFileSync(path, new Uint8Array(DISK_KIB << 10));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
  }
  if (freeBytes > 0) spawnSync("truncate", ["--size", `-${freeBytes}`, path]);
}

test(
  "a read-only disk: saving is refused, loading still works, and saving works again once it is writable",
  TIMEOUT,
  async (t) => {
    await using workspace = await Workspace.create();
    const folder = workspace.path("disk");
    using disk = smallDisk(folder, DISK_KIB);
    if (!disk) return t.skip(NOT_ALLOWED);
    await using store = await StoreProcess.start();
    const outputDir = `${folder}/out`;
    await save(store, outputDir, plain(1), 1);
    await disk.remount("ro");
    const refusal = refused("permission_denied", /^output_dir \S+ is on a read-only file system; choose another/);
    await assert.rejects(save(store, outputDir, plain(2), 2), refusal);
    await assert.rejects(store.client.claim({ outputDir, runId: "run-1", keepResult: false }), refusal);
    await assert.rejects(store.client.delete({ outputDir, name: plain(1), requestId: "request-1" }), refusal);
    await assert.rejects(save(store, `${folder}/new`, plain(2), 2), refusal);
    assert.deepEqual(await store.load(outputDir), { name: plain(1), files: checkpointFiles(1) });
    assert.equal((await store.client.verify({ outputDir, name: "" })).checkpoints[0]?.damage, "");
    assert.deepEqual(readdirSync(outputDir), [plain(1)]);
    await disk.remount("rw");
    await save(store, outputDir, plain(2), 2);
    assert.equal((await store.load(outputDir)).name, plain(2));
  },
);
