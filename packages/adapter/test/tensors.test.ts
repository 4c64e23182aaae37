import assert from "node:assert/strict";
import { test } from "node:test";
import { adaptedModules, checkAdapter, initAdapter, loraTensorNames, readAdapter, writeAdapter } from "../src/index.js";
import { philox4x32, type Words4 } from "../src/philox.js";
import { failure, golden } from "./support.js";

const WIDTH = 64;
/** Target modules of the golden run gpt2-plain, sorted. */
const MODULES = [0, 1].flatMap((layer) =>
  (
    [
      ["attn.c_attn", WIDTH, 3 * WIDTH],
      ["attn.c_proj", WIDTH, WIDTH],
      ["mlp.c_proj", 4 * WIDTH, WIDTH],
    ] as const
  ).map(([name, inFeatures, outFeatures]) => ({ name: `transformer.h.${layer}.${name}`, inFeatures, outFeatures })),
);
const FILE = golden("gpt2-plain/final_adapter/adapter_model.safetensors");

test("Philox gives the known answers of its authors", () => {
  // https://github.com/DEShawResearch/random123/blob/main/tests/kat_vectors
  const answers: [Words4, [number, number], Words4][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, answer] of answers) assert.deepEqual(philox4x32(counter, key), answer);
});

test("an adapter that PEFT wrote is read in the fixed order and written with PEFT's bytes", () => {
  const reversed = [...MODULES].reverse();
  const tensors = readAdapter(FILE, reversed, 8);
  assert.deepEqual([...tensors.keys()], loraTensorNames(reversed));
  assert.equal([...tensors.keys()][0], "base_model.model.transformer.h.1.mlp.c_proj.lora_A.weight");
  assert.deepEqual(writeAdapter(tensors), FILE);
});

test("tables of tokens in an adapter are the reason for its refusal", () => {
  const tensors = readAdapter(FILE, MODULES, 8);
  const table = { shape: [260, WIDTH], data: new Float32Array(260 * WIDTH) };
  // As PEFT 0.21 names them: of a resized vocabulary, of modules_to_save, and of LoRA on the head and the embedding.
  for (const [name, what] of [
    ["base_model.model.transformer.wte.weight", /holds a table of tokens, .*\[260, 64\].*vocabulary that was resized/],
    ["base_model.model.lm_head.weight", /holds a table of tokens.*modules_to_save/],
    ["base_model.model.lm_head.lora_A.weight", /adapts a table of tokens/],
    ["base_model.model.transformer.wte.lora_embedding_A", /adapts a table of tokens/],
  ] as const) {
    const withTable = new Map([...tensors, [name, table]]);
    assert.throws(() => checkAdapter(withTable, MODULES, 8), failure("failed_precondition", what));
  }
});

test("an adapter that does not fit is refused by the tensor's name", () => {
  const fits = (change: (tensors: ReturnType<typeof readAdapter>) => void) => () => {
    const tensors = readAdapter(FILE, MODULES, 8);
    change(tensors);
    checkAdapter(tensors, MODULES, 8);
  };
  const name = "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight";
  const refused = (text: RegExp) => failure("failed_precondition", text);
  assert.doesNotThrow(fits(() => {}));
  assert.throws(
    () => readAdapter(FILE, MODULES, 4),
    refused(/c_attn\.lora_A\.weight has shape \[8, 64\] instead of \[4, 64\]/),
  );
  assert.throws(() => readAdapter(FILE, MODULES.slice(1), 8), refused(/has the tensor .*h\.0\.attn\.c_attn/));
  assert.throws(
    fits((tensors) => tensors.delete(name)),
    refused(/no tensor .*c_attn\.lora_B/),
  );
  assert.throws(
    fits((tensors) => tensors.set(name, { shape: [8, 192], data: new Float32Array(8 * 192) })),
    refused(/shape/),
  );
  assert.throws(
    fits((tensors) => tensors.set(name, { shape: [1536], data: new Float32Array(1536) })),
    refused(/shape/),
  );
  const broken = readAdapter(FILE, MODULES, 8);
  broken.set(name, { shape: [192, 8], data: new Float32Array(192 * 8).fill(NaN) });
  assert.throws(
    () => readAdapter(writeAdapter(broken), MODULES, 8),
    refused(/lora_B\.weight has values that are not finite/),
  );
});

test("a new adapter has A uniform in ±1/√in and B zero", () => {
  const tensors = initAdapter([{ name: "m", inFeatures: 900, outFeatures: 50 }], 200, 7);
  const a = tensors.get("base_model.model.m.lora_A.weight");
  const b = tensors.get("base_model.model.m.lora_B.weight");
  assert.ok(a && b);
  assert.deepEqual(
    [a.shape, b.shape],
    [
      [200, 900],
      [50, 200],
    ],
  );
  assert.ok(b.data.every((value) => value === 0));
  const bound = 1 / 30;
  const scaled = Float64Array.from(a.data, (value) => value / bound);
  const n = scaled.length;
  const moment = (power: number) => scaled.reduce((sum, value) => sum + value ** power, 0) / n;
  assert.ok(scaled.every((value) => value >= -1.0000001 && value <= 1.0000001));
  assert.ok(Math.max(...scaled.subarray(0, 50_000)) > 0.999 && Math.min(...scaled.subarray(0, 50_000)) < -0.999);
  // Five standard errors each: of the mean √(1/3n), of the mean square √(4/45n), of the mean cube √(1/7n).
  assert.ok(Math.abs(moment(1)) < 5 * Math.sqrt(1 / 3 / n), `mean ${moment(1)}`);
  assert.ok(Math.abs(moment(2) - 1 / 3) < 5 * Math.sqrt(4 / 45 / n), `mean square ${moment(2)}`);
  assert.ok(Math.abs(moment(3)) < 5 * Math.sqrt(1 / 7 / n), `mean cube ${moment(3)}`);
  const lagged = scaled.subarray(1).reduce((sum, value, i) => sum + value * (scaled[i] as number), 0) / (n - 1);
  assert.ok(Math.abs(lagged) < 5 / (3 * Math.sqrt(n)), `neighbours are correlated: ${lagged}`);
  const bins = new Array<number>(100).fill(0);
  for (const value of scaled) bins[Math.min(99, Math.floor((value + 1) * 50))]!++;
  const chiSquare = bins.reduce((sum, count) => sum + (count - n / 100) ** 2 / (n / 100), 0);
  assert.ok(chiSquare < 99 + 5 * Math.sqrt(2 * 99), `chi-square ${chiSquare} over 100 bins`);
});

test("a tensor's start depends on seed and name alone", () => {
  const whole = initAdapter(MODULES, 8, 1);
  const alone = initAdapter(MODULES.slice(4, 5), 8, 1);
  const reversed = initAdapter([...MODULES].reverse(), 8, 1);
  const name = "base_model.model.transformer.h.1.attn.c_proj.lora_A.weight";
  assert.deepEqual(whole.get(name), alone.get(name));
  for (const [key, tensor] of whole) assert.deepEqual(tensor, reversed.get(key));
  const starts = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1].flatMap((seed) =>
    [...initAdapter(MODULES, 8, seed).entries()]
      .filter(([key]) => /lora_A/.test(key))
      .map(([, { data }]) => data[0]! * 8),
  );
  assert.equal(new Set(starts).size, 6 * MODULES.length);
});

test("a new adapter's bits stay what they are", () => {
  const { data } = initAdapter([{ name: "m", inFeatures: 4, outFeatures: 1 }], 1, 42).get(
    "base_model.model.m.lora_A.weight",
  ) ?? { data: [] };
  assert.deepEqual([...data], PINNED);
});

/** A change here changes every run's result. */
const PINNED = [0.10578811168670654, 0.24835282564163208, -0.3803594708442688, 0.25464504957199097];

test("an adapter with DoRA that PEFT wrote is read and written with its magnitudes, which start as given", () => {
  const linear = [0, 1].flatMap((layer) =>
    ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"].map((name) => {
      const inFeatures = name === "mlp.c_proj" ? 144 : 36;
      const outFeatures = { "attn.c_attn": 108, "mlp.c_fc": 144 }[name] ?? 36;
      return { name: `transformer.h.${layer}.${name}`, inFeatures, outFeatures };
    }),
  );
  const modules = adaptedModules(linear, { rankPattern: { "attn.c_proj": 2, c_fc: 7 }, useDora: true });
  const file = golden("gpt2-dora/final_adapter/adapter_model.safetensors");
  const tensors = readAdapter(file, modules, 4);
  const name = "base_model.model.transformer.h.0.mlp.c_fc.lora_magnitude_vector";
  assert.deepEqual(tensors.get(name)?.shape, [144]);
  assert.deepEqual([...tensors.keys()], loraTensorNames(modules));
  const again = readAdapter(writeAdapter(tensors), modules, 4);
  assert.deepEqual(again, tensors);
  const ranked = modules.map((module) => ({ ...module, useDora: false }));
  assert.throws(() => readAdapter(file, ranked, 4), failure("failed_precondition", /magnitude_vector.* no target/));

  const norms = new Map(modules.map((module, i) => [module.name, new Float32Array(module.outFeatures).fill(i + 1)]));
  const started = initAdapter(modules, 4, 1, norms);
  assert.ok(started.get(name)?.data.every((value) => value === 3));
  assert.doesNotThrow(() => checkAdapter(started, modules, 4));
});
