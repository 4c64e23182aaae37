/** Where an adapter is found. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { AdapterFolder } from "../src/inference/adapter-folder.js";
import { REPOSITORY, run, TINY_CODER, withFolder } from "./support.js";

const CHECKPOINT = join(REPOSITORY, "services/checkpoint-store/test/fixtures/tiny-coder-step4");
const WEIGHTS = "adapter_model.safetensors";

async function makeCheckpoint(folder: string): Promise<void> {
  await cp(CHECKPOINT, folder, { recursive: true });
  const sha256 = createHash("sha256")
    .update(await readFile(join(folder, WEIGHTS)))
    .digest("hex");
  await writeFile(join(folder, "manifest.json"), JSON.stringify({ files: [{ path: WEIGHTS, sha256 }] }));
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

  test("what is not as the manifest says is refused", async () => {
    await withFolder(async (folder) => {
      await makeCheckpoint(folder);
      await (await AdapterFolder.open(folder)).read(WEIGHTS);
      await truncate(join(folder, WEIGHTS), 1000);
      const opened = await AdapterFolder.open(folder);
      await assert.rejects(opened.read(WEIGHTS), /is damaged, its SHA-256 is not that of manifest.json; use another/);
      await rm(join(folder, WEIGHTS));
      await assert.rejects(opened.read(WEIGHTS), /cannot be read \(ENOENT\)/);
      for (const text of ["{", "null", `{"files": [null]}`, `{"files": [{"path": 1}]}`]) {
        await writeFile(join(folder, "manifest.json"), text);
        await assert.rejects(AdapterFolder.open(folder), /manifest.json is damaged; use another checkpoint/);
      }
    });
  });
});
