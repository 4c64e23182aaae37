/** adapter_model.bin of old PEFT (fixtures/make_torch_adapter.py). */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { adapterOf, readAdapter } from "@gradpool/adapter";
import { TORCH_ADAPTER, torchAdapter } from "@gradpool/model-source";

const fixture = (name: string) => new URL(`../../test/fixtures/torch_adapter/${name}`, import.meta.url);

test("it is the adapter that PEFT writes as safetensors now", async () => {
  const stored = await torchAdapter(await readFile(fixture(TORCH_ADAPTER)), TORCH_ADAPTER);
  const shape = stored.get("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight")?.shape ?? [];
  const [outFeatures = 0] = shape;
  const modules = [...stored.keys()]
    .filter((name) => name.endsWith("lora_A.weight"))
    .map((name) => ({ outFeatures, inFeatures: stored.get(name)?.shape[1] ?? 0, name: moduleOf(name) }));
  assert.ok(modules.length > 0);
  const adapter = adapterOf(stored, modules, 2);
  assert.deepEqual(adapter, readAdapter(await readFile(fixture("adapter_model.safetensors")), modules, 2));
});

const moduleOf = (name: string) => name.replace("base_model.model.", "").replace(".lora_A.weight", "");
