/** The model's own dropouts, gradient checkpointing, patterns and DoRA through all services: what decides bits, and what does not (I2). */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fingerprint, Stack, TINY_CODER, tinyRun, Workspace } from "@gradpool/integration-tests";
import type { LoraRecipe, Recipe } from "@gradpool/rpc";

test("the model drops the same elements on any trainer, and checkpointing changes no byte", async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(30);
  const modelId = workspace.path("model");
  await cp(TINY_CODER, modelId, { recursive: true });
  const config = JSON.parse(await readFile(`${modelId}/config.json`, "utf8")) as object;
  const dropouts = { embd_pdrop: 0.1, attn_pdrop: 0.1, resid_pdrop: 0.1 };
  await writeFile(`${modelId}/config.json`, JSON.stringify({ ...config, ...dropouts }));
  await using stack = await Stack.start({ trainers: 1 });
  const train = async (name: string, changes: Partial<Recipe> = {}, lora: Partial<LoraRecipe> = {}) => {
    await stack.train({ ...tinyRun(dataset, workspace.path(name), changes, lora), modelId });
    return fingerprint(workspace.path(name));
  };
  const patterns = {
    useDora: true,
    targetModules: ["all-linear"],
    rankPattern: { c_fc: 3 },
    alphaPattern: { "attn.*": 5 },
  };

  const one = await train("one");
  const patterned = await train("patterned", {}, patterns);
  assert.notDeepEqual(await train("without", { modelDropout: false }), one);

  await stack.addTrainer(2);
  assert.deepEqual(await train("two"), one);
  assert.deepEqual(await train("checkpointed", { gradientCheckpointing: true }), one);
  assert.deepEqual(await train("patterned again", { gradientCheckpointing: true }, patterns), patterned);
  assert.notEqual(patterned.adapter, one.adapter);
});
