/** A GGUF file through the command line and all services, each of which finds its converted form on its own. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Golden, gradpool, Workspace } from "@gradpool/integration-tests";

const FILE = fileURLToPath(new URL("../../fixtures/gguf/llama-gqa.gguf", import.meta.url));

test("gradpool train on a GGUF file gives, bit for bit, what its converted folder gives", async () => {
  await using workspace = await Workspace.create();
  const home = workspace.path("home");
  const train = async (model: string, name: string) => {
    const flags = {
      model_id: model,
      dataset: new Golden("llama-gqa").dataFile,
      output_dir: workspace.path(name),
      epochs: 1,
      max_length: 64,
      target_modules: "q_proj,k_proj",
      trainers: 2,
    };
    const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
    const { code, stderr } = await gradpool(["train", ...args], home);
    assert.equal(code, 0, stderr);
    return readFile(join(workspace.path(name), "adapter_model.safetensors"));
  };

  const fromFile = await train(FILE, "from-file");
  const cache = join(home, "cache");
  const [folder, ...others] = await readdir(cache);
  assert.ok(folder);
  assert.deepEqual(others, [], "conversions are left half made, or made twice");
  assert.ok(fromFile.equals(await train(join(cache, folder), "from-folder")));

  const files = await readdir(workspace.path("from-file"));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) assert.ok(files.includes(name), name);
  const adapter = workspace.path("from-file");
  const sampled = await gradpool(
    ["sample", "--model_id", FILE, "--adapter", adapter, "--prompt", "def total(", "--temperature", "0"],
    home,
  );
  assert.equal(sampled.code, 0, sampled.stderr);
  assert.ok(sampled.stdout.startsWith("def total("));
});
