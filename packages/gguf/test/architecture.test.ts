/** What metadata says of a model, and what of it is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { readModel } from "@gradpool/gguf";
import { failure, ggufOf, parse, type Field } from "./support.js";

const FIELDS: Record<string, Field> = {
  "general.architecture": "llama",
  "llama.block_count": 1,
  "llama.context_length": 131_072,
  "llama.embedding_length": 256,
  "llama.feed_forward_length": 512,
  "llama.attention.head_count": 4,
  "llama.attention.head_count_kv": 2,
  "llama.attention.layer_norm_rms_epsilon": 0.00001,
  "llama.rope.freq_base": 500_000,
};
const EMBEDDING = { name: "token_embd.weight", dims: [4, 8] };

const read = (changes: Record<string, Field> = {}, tensors = [EMBEDDING], ropeFactors?: Float32Array) =>
  readModel(parse(ggufOf({ ...FIELDS, ...changes }, tensors, { dataBytes: 4096 })), ropeFactors);

test("the fields of config.json", () => {
  const { config } = read();
  assert.equal(config["model_type"], "llama");
  assert.deepEqual([config["head_dim"], config["vocab_size"], config["tie_word_embeddings"]], [64, 8, true]);
  assert.deepEqual([config["rope_theta"], config["rope_scaling"]], [500_000, undefined]);
});

test("a sliding window ends the positions that are offered", () => {
  assert.equal(read({ "llama.attention.sliding_window": 4096 }).config["max_position_embeddings"], 4096);
  assert.equal(read({ "llama.attention.sliding_window": 0 }).config["max_position_embeddings"], 131_072);
});

test("linear scaling of rotary positions", () => {
  const scaled = read({ "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 2.5 });
  assert.deepEqual(scaled.config["rope_scaling"], { rope_type: "linear", factor: 2.5 });
});

test("a factor without a type is linear, and so is the older rope.scale_linear (llama.cpp's llama-model.cpp)", () => {
  const linear = (factor: number) => ({ rope_type: "linear", factor });
  assert.deepEqual(read({ "llama.rope.scaling.factor": 2.5 }).config["rope_scaling"], linear(2.5));
  assert.deepEqual(read({ "llama.rope.scale_linear": 4.5 }).config["rope_scaling"], linear(4.5));
  const none = { "llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 2.5 };
  assert.equal(read(none).config["rope_scaling"], undefined);
});

test("yarn without an original length: llama.cpp takes the context's", () => {
  const scaling = { "llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.5 };
  const { rope_scaling } = read({ ...scaling, "llama.context_length": 2048 }).config;
  assert.equal((rope_scaling as Record<string, unknown>)["original_max_position_embeddings"], 2048);
});

test("yarn by its factor and its original length", () => {
  const scaling = { "llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.5 };
  const { config } = read({ ...scaling, "llama.rope.scaling.original_context_length": 4096 });
  const { rope_type, factor, original_max_position_embeddings } = config["rope_scaling"] as Record<string, unknown>;
  assert.deepEqual([rope_type, factor, original_max_position_embeddings], ["yarn", 4.5, 4096]);
});

test("counts for each layer, all the same; others are refused", () => {
  const each = (heads: number[]) => read({ "llama.block_count": 2, "llama.attention.head_count_kv": { int32: heads } });
  assert.equal(each([2, 2]).config["num_key_value_heads"], 2);
  assert.throws(() => each([2, 4]), failure("failed_precondition", /head_count_kv" differs from layer to layer/));
});

test("as soon as there is one bias of attention or mlp, the others are zeros", () => {
  const bias = { name: "blk.0.attn_q.bias", dims: [256], offset: 128 };
  const { config, tensors } = read({}, [EMBEDDING, bias]);
  assert.deepEqual([config["attention_bias"], config["mlp_bias"]], [true, false]);
  const biases = tensors.filter(({ name }) => name.endsWith(".bias"));
  assert.deepEqual(
    biases.map(({ name, tensor, shape }) => [name, tensor !== undefined, shape]),
    [
      ["model.layers.0.self_attn.q_proj.bias", true, [256]],
      ["model.layers.0.self_attn.k_proj.bias", false, [128]],
      ["model.layers.0.self_attn.v_proj.bias", false, [128]],
      ["model.layers.0.self_attn.o_proj.bias", false, [256]],
    ],
  );
  const down = { name: "blk.0.ffn_down.bias", dims: [256], offset: 128 };
  assert.equal(read({}, [EMBEDDING, down]).config["mlp_bias"], true);
});

for (const [type, name] of [
  [40, "NVFP4"],
  [41, "Q1_0"],
  [39, "MXFP4"],
] as const) {
  test(`a tensor of type ${type} is refused as ${name}`, () => {
    const bytes = ggufOf(FIELDS, [{ ...EMBEDDING, type }], { dataBytes: 4096 });
    assert.throws(() => parse(bytes), failure("unimplemented", new RegExp(`does not read the type ${name}`)));
  });
}

/** As llama.cpp's convert_hf_to_gguf.py computes them for Llama 3.1: [D/2], 1 for short waves, 8 for long ones. */
function llama31Factors(): Float32Array {
  return Float32Array.from({ length: 32 }, (_, i) => {
    const wavelength = 2 * Math.PI * 500_000 ** (i / 32);
    if (wavelength < 2048) return 1;
    if (wavelength > 8192) return 8;
    const smooth = (8192 / wavelength - 1) / 3;
    return 1 / ((1 - smooth) / 8 + smooth);
  });
}

test("Llama 3's scaling is recognized by its factors", () => {
  assert.deepEqual(read({}, [EMBEDDING], llama31Factors()).config["rope_scaling"], {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  });
  const other = llama31Factors();
  other[20]! *= 1.001;
  const refusal = failure("failed_precondition", /rope_freqs\.weight is not that of Llama 3/);
  assert.throws(() => read({}, [EMBEDDING], other), refusal);
  assert.throws(() => read({}, [EMBEDDING], new Float32Array(31)), refusal);
});

const REFUSED: [string, Record<string, Field>, RegExp][] = [
  [
    "another architecture",
    { "general.architecture": "gemma2" },
    /"gemma2" is not supported.*supported: llama, qwen2, qwen3/,
  ],
  ["yarn", { "llama.rope.scaling.type": "yarn" }, /scaled by "yarn"/],
  ["partial rotation", { "llama.rope.dimension_count": 32 }, /on 32 of a head's 64 dimensions/],
  ["a part of several", { "split.count": 3 }, /one of 3 parts; merge them/],
];
for (const [name, changes, message] of REFUSED) {
  test(`${name} is refused`, () => assert.throws(() => read(changes), failure("failed_precondition", message)));
}

for (const name of ["blk.0.ffn_gate_exps.weight", "blk.01.attn_q.weight", "blk.0.constructor.weight", "toString"]) {
  test(`the tensor ${name} is refused by name`, () => {
    const tensors = [EMBEDDING, { name, dims: [4], offset: 128 }];
    assert.throws(
      () => read({}, tensors),
      failure("failed_precondition", new RegExp(`"${name.replaceAll(".", "\\.")}"`)),
    );
  });
}

test("fields that are missing or of another type are damage", () => {
  const { "llama.block_count": _, ...without } = FIELDS;
  assert.throws(() => readModel(parse(ggufOf(without))), failure("data_loss", /lacks "llama\.block_count"/));
  for (const value of ["1", 1.5, true, { int32: [1] }, 1n << 63n]) {
    assert.throws(
      () => read({ "llama.block_count": value }),
      failure("data_loss", /"llama\.block_count" is not a whole/),
    );
  }
});
