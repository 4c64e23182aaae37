import assert from "node:assert/strict";
import { test } from "node:test";
import { adapterConfigJson, allLinearAsWritten, modelCard, parseAdapterConfig } from "../src/index.js";
import { failure, goldenConfig } from "./support.js";

const LORA = { r: 8, alpha: 32, dropout: 0, useRslora: false, useDora: false, rankPattern: {}, alphaPattern: {} };
const WRITTEN = () =>
  JSON.parse(
    adapterConfigJson({ baseModel: "gpt2", lora: LORA, targetModules: ["c_proj", "c_attn"], fanInFanOut: true }),
  ) as Record<string, unknown>;

for (const run of ["gpt2-plain", "gpt2-codeparrot"]) {
  test(`what is written for ${run} agrees with PEFT's own file`, () => {
    const peft = goldenConfig(`${run}/final_adapter/adapter_config.json`);
    const ours = WRITTEN();
    for (const [key, value] of Object.entries(ours)) {
      assert.deepEqual(value, key === "base_model_name_or_path" ? "gpt2" : peft[key], key);
    }
    assert.deepEqual(parseAdapterConfig(peft), { ...parseAdapterConfig(ours), baseModel: undefined });
  });
}

test("what is written is read back", () => {
  const patterns = { rankPattern: { "h.0.c_attn": 2, c_attn: 5 }, alphaPattern: { "mlp.*": 0.5 } };
  const lora = { r: 3, alpha: 1.5, dropout: 0.05, useRslora: true, useDora: true, ...patterns };
  const json = adapterConfigJson({ baseModel: "/models/a b", lora, targetModules: ["q_proj"], fanInFanOut: false });
  const expected = { ...lora, targetModules: ["q_proj"], baseModel: "/models/a b" };
  assert.deepEqual(parseAdapterConfig(JSON.parse(json)), expected);
});

test("a revision is apart from the base model's name, as AutoPeftModel reads it", () => {
  const options = { lora: LORA, targetModules: ["q_proj"], fanInFanOut: false };
  const { base_model_name_or_path, revision } = JSON.parse(
    adapterConfigJson({ ...options, baseModel: "org/name", revision: "v2" }),
  ) as Record<string, unknown>;
  assert.deepEqual([base_model_name_or_path, revision], ["org/name", "v2"]);
  assert.equal((WRITTEN() as { revision: unknown }).revision, null);
});

const REFUSED: Record<string, unknown> = {
  peft_type: "IA3",
  task_type: "SEQ_CLS",
  bias: "all",
  modules_to_save: ["lm_head"],
  use_qalora: true,
  use_bdlora: { any: 1 },
  lora_bias: true,
  layers_to_transform: [0],
  layers_pattern: "h",
  layer_replication: [[0, 1]],
  exclude_modules: ["mlp"],
  trainable_token_indices: [1],
  target_parameters: ["x"],
  megatron_config: { any: 1 },
  alora_invocation_tokens: [1],
  arrow_config: { any: 1 },
  ensure_weight_tying: true,
  init_lora_weights: "pissa_niter_4",
  some_later_setting: true,
};
for (const [key, value] of Object.entries(REFUSED)) {
  test(`${key} = ${JSON.stringify(value)} is refused by name`, () => {
    const config = { ...goldenConfig("gpt2-plain/final_adapter/adapter_config.json"), [key]: value };
    assert.throws(() => parseAdapterConfig(config), failure("unimplemented", new RegExp(`${key} is .*not support`)));
  });
}

test("targets that PEFT takes as a string stay one: a regular expression, and all-linear", () => {
  for (const target of ["all-linear", String.raw`.*\.(q|v)_proj`]) {
    const json = adapterConfigJson({ baseModel: "m", lora: LORA, targetModules: [target], fanInFanOut: false });
    assert.equal((JSON.parse(json) as { target_modules: unknown }).target_modules, target);
    assert.deepEqual(parseAdapterConfig(JSON.parse(json)).targetModules, [target]);
  }
});

test("all-linear is written as the list that PEFT 0.21.2 writes: whole names, or of 20 and more their last parts", () => {
  const modules = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];
  const names = (layers: number) =>
    Array.from({ length: layers }, (_, layer) => modules.map((name) => `transformer.h.${layer}.${name}`)).flat();
  assert.deepEqual(allLinearAsWritten(names(4)), names(4));
  assert.deepEqual(allLinearAsWritten(names(5)), ["c_attn", "c_proj", "c_fc"]);
});

test("settings without effect on the result are let pass", () => {
  const harmless = {
    init_lora_weights: "gaussian",
    qalora_group_size: 32,
    eva_config: { rho: 2 },
    inference_mode: false,
  };
  assert.equal(parseAdapterConfig({ ...WRITTEN(), ...harmless }).r, 8);
});

test("values that cannot be meant are damage", () => {
  for (const [key, value] of Object.entries({
    r: 0,
    lora_alpha: "8",
    lora_dropout: 1,
    use_rslora: 1,
    use_dora: 1,
    target_modules: [],
    rank_pattern: { c_attn: 0 },
    alpha_pattern: { c_attn: "4" },
  })) {
    assert.throws(() => parseAdapterConfig({ ...WRITTEN(), [key]: value }), failure("data_loss", new RegExp(key)));
  }
  for (const json of [null, [], "x", {}]) assert.throws(() => parseAdapterConfig(json), failure("data_loss", /config/));
});

const CARD = {
  baseModel: 'models/"x"',
  datasets: ["src/**/*.ts"],
  lora: { ...LORA, targetModules: ["c_attn"] },
  recipe: new Map<string, string | number | boolean>([
    ["epochs", 3],
    ["lr_scheduler", "a|b"],
  ]),
  steps: Array.from({ length: 100 }, (_, i) => ({ step: i + 1, epoch: 0, loss: 5 - i / 50, learningRate: 1 / 3e4 })),
  tokens: 12_345,
};

test("the model card says how to load the adapter, what made it and what came out", () => {
  const card = modelCard(CARD);
  assert.match(card, /^---\nbase_model: "models\/\\"x\\""\nlibrary_name: peft\n/);
  assert.match(card, /\ntags:\n- lora\n- gradpool\ndatasets:\n- "src\/\*\*\/\*\.ts"\n---\n/);
  assert.match(card, /AutoModelForCausalLM\.from_pretrained\("models\/\\"x\\""\)\nmodel = PeftModel/);
  assert.match(card, /\| lr_scheduler \| a\\\|b \|/);
  assert.match(card, /5\.0000 at step 1, 3\.0200 at step 100/);
  assert.equal(card.match(/^\| \d+ \| 0 \| [\d.]+ \| 0\.00003333 \|$/gm)?.length, 12);
  assert.doesNotMatch(card, /resize/);
});

test("the model card names ranks and alphas of their own", () => {
  const lora = { ...CARD.lora, rankPattern: { "h.0": 2, c_fc: 3 }, alphaPattern: { "mlp.*": 9 } };
  const card = modelCard({ ...CARD, lora });
  assert.match(card, /rank 8, alpha 32, on `c_attn`, rank 2 on `h\.0`, 3 on `c_fc`, alpha 9 on `mlp\.\*`\.\n/);
});

test("the model card says when the embedding must grow", () => {
  const card = modelCard({ ...CARD, addedPadToken: "<|pad|>" });
  assert.match(card, /base\.resize_token_embeddings\(len\(tokenizer\)\)/);
  assert.match(card, /`<\|pad\|>` was added/);
});

test("a run without steps has a card", () => {
  assert.match(modelCard({ ...CARD, steps: [] }), /No step was made/);
  assert.match(modelCard({ ...CARD, steps: CARD.steps.slice(0, 1) }), /^\| 1 \| 0 \|/m);
});
