/** Where an adapter is found. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { lockBytes, lockOf, manifestBytes } from "@gradpool/run-folder";
import { AdapterFolder } from "../src/inference/adapter-folder.js";
import { REPOSITORY, run, TINY_CODER, withFolder } from "./support.js";

const CHECKPOINT = join(REPOSITORY, "services/checkpoint-store/test/fixtures/tiny-coder-step4");
const WEIGHTS = "adapter_model.safetensors";

async function makeCheckpoint(folder: string, runId = "run-1"): Promise<void> {
  await cp(CHECKPOINT, folder, { recursive: true });
  const weights = await readFile(join(folder, WEIGHTS));
  const sha256 = createHash("sha256").update(weights).digest("hex");
  const files = [{ path: WEIGHTS, sizeBytes: weights.byteLength, sha256 }];
  await writeFile(
    join(folder, "manifest.json"),
    manifestBytes({ runId, epoch: 0, step: 4, ownerEpoch: 0, savedAt: new Date(0), files }),
  );
}

describe("adapter", () => {
  test("a checkpoint, and an output folder with its newest, until it has the result itself", async () => {
    await withFolder(async (folder) => {
      for (const name of ["checkpoint-epoch0-step9", "checkpoint-epoch1-step10"]) {
        await makeCheckpoint(join(folder, name));
      }
      await mkdir(join(folder, ".recovery-epoch1-step12"));
      const newest = join(folder, "checkpoint-epoch1-step10");
      assert.equal((await AdapterFolder.open(newest)).path, newest);
      assert.equal((await AdapterFolder.open(folder)).path, newest);

      const sample = ["sample", "--model_id", TINY_CODER, "--prompt", "import ", "--max_new_tokens", "8"];
      const ofCheckpoint = await run([...sample, "--adapter", folder]);
      assert.equal(ofCheckpoint.code, 0, ofCheckpoint.stderr);
      assert.equal((await run([...sample, "--adapter", CHECKPOINT])).stdout, ofCheckpoint.stdout);

      await cp(CHECKPOINT, folder, { recursive: true });
      assert.equal((await AdapterFolder.open(folder)).path, folder);
    });
  });

  test("a recovery point and a folder without any are refused", async () => {
    await withFolder(async (folder) => {
      await assert.rejects(AdapterFolder.open(folder), /adapter_config.json cannot be read \(ENOENT\); give a folder/);
      const point = join(folder, ".recovery-epoch0-step3");
      await mkdir(point);
      await assert.rejects(AdapterFolder.open(point), /is only a recovery point; name a checkpoint, or resume the run/);
    });
  });

  test("a manifest that was changed is refused by its own SHA-256", async () => {
    await withFolder(async (folder) => {
      await makeCheckpoint(folder);
      const path = join(folder, "manifest.json");
      const written = await readFile(path, "utf8");
      for (const [from, to] of [
        ['"step": 4', '"step": 5'],
        [/"sha256": "[0-9a-f]{64}"/, `"sha256": "${"0".repeat(64)}"`],
      ] as const) {
        await writeFile(path, written.replace(from, to));
        await assert.rejects(AdapterFolder.open(folder), /manifest.json does not match its own SHA-256; use another/);
      }
    });
  });

  test("while a run writes into a folder with an older result, that run's newest checkpoint", async () => {
    await withFolder(async (folder) => {
      await makeCheckpoint(join(folder, "checkpoint-epoch0-step4"), "run-2");
      await makeCheckpoint(join(folder, "checkpoint-epoch2-step30"), "run-1");
      await cp(CHECKPOINT, folder, { recursive: true });
      const lock = (runId: string) => writeFile(join(folder, ".gradpool.lock"), lockBytes(lockOf(runId, "store")));
      await lock("run-2");
      assert.equal((await AdapterFolder.open(folder)).path, join(folder, "checkpoint-epoch0-step4"));
      // It has none yet.
      await lock("run-3");
      assert.equal((await AdapterFolder.open(folder)).path, folder);
      await rm(join(folder, ".gradpool.lock"));
      assert.equal((await AdapterFolder.open(folder)).path, folder);
    });
  });

  test("what is not as the manifest says is refused", async () => {
    await withFolder(async (folder) => {
      await makeCheckpoint(folder);
      await (await AdapterFolder.open(folder)).read(WEIGHTS);
      await truncate(join(folder, WEIGHTS), 1000);
      const opened = await AdapterFolder.open(folder);
      await assert.rejects(opened.read(WEIGHTS), /is damaged: file \S+ has 1000 bytes instead of \d+; use another/);
      await rm(join(folder, WEIGHTS));
      await assert.rejects(opened.read(WEIGHTS), /cannot be read \(ENOENT\)/);
      for (const text of ["{", "null", `{"files": [null]}`, `{"files": [{"path": 1}]}`]) {
        await writeFile(join(folder, "manifest.json"), text);
        await assert.rejects(AdapterFolder.open(folder), /is damaged: manifest.json is .*; use another checkpoint/);
      }
    });
  });
});
